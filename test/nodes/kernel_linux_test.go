package nodes_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linkspan/linkspan/test/nodes"
)

// kubeletWants are the settings that kubelet writes where they differ (pkg/kubelet/cm, setupKernelTunables). No namespace
// has its own of them.
func kubeletWants() map[string]string {
	return map[string]string{
		"vm/overcommit_memory":      "1",
		"vm/panic_on_oom":           "0",
		"kernel/panic":              "10",
		"kernel/panic_on_oops":      "1",
		"kernel/keys/root_maxkeys":  "1000000",
		"kernel/keys/root_maxbytes": "25000000",
	}
}

// Kubelet reads what it wants, and could not reach the machine's own settings if it wrote: a developer's machine must not
// restart by itself after an oops because clusters were tried on it.
func TestKubeletCannotSetUpTheMachine(t *testing.T) {
	nodes.Need(t)
	for name, want := range kubeletWants() {
		path := filepath.Join("/proc/sys", name)
		var stat unix.Statfs_t
		if err := unix.Statfs(path, &stat); err != nil {
			t.Fatal(err)
		}
		if stat.Type == unix.PROC_SUPER_MAGIC {
			t.Errorf("%s is the machine's own", path)
		}
		if got := setting(t, path); got != want {
			t.Errorf("kubelet reads %s in %s, and writes %s", got, path, want)
		}
	}
}

// machineSettings are the machine's own, whatever covers them in /proc.
func machineSettings(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	must(t, unix.Mount("proc", dir, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""))
	defer func() { must(t, unix.Unmount(dir, 0)) }()
	found := map[string]string{}
	for name := range kubeletWants() {
		found[name] = setting(t, filepath.Join(dir, "sys", name))
	}
	return found
}

func setting(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}
