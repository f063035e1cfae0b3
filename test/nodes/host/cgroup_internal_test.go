//go:build linux

package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A group stands for one of cgroup v2: what is written last is what stays in its file.
func group(t *testing.T, offered, on string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"cgroup.controllers": offered, "cgroup.subtree_control": on} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The machine's own group is only changed as far as nodes need it, and a kernel that lacks what they need is told by name: without
// it kubelet would never get ready.
func TestOnlyWhatNodesUseIsHandedOn(t *testing.T) {
	for name, c := range map[string]struct{ offered, on, written, complaint string }{
		"all is on already":       {"cpuset cpu io memory pids rdma", "cpuset cpu io memory pids", "cpuset cpu io memory pids", ""},
		"one is missing":          {"cpuset cpu memory pids rdma misc", "cpuset cpu memory", "+pids", ""},
		"what nobody needs stays": {"cpuset cpu memory pids rdma misc", "cpuset cpu memory pids", "cpuset cpu memory pids", ""},
		"what is welcome":         {"cpuset cpu io memory pids", "cpuset cpu memory pids", "+io", ""},
		"no memory":               {"cpuset cpu pids", "", "", "has no controller memory:"},
		"nothing":                 {"", "", "", "has no controller cpu, cpuset, memory, pids:"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := group(t, c.offered, c.on)
			err := handOn(dir)
			if (err == nil) != (c.complaint == "") || err != nil && !strings.Contains(err.Error(), c.complaint) {
				t.Errorf("got %v, want %q", err, c.complaint)
			}
			got, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
			if err != nil || string(got) != c.written {
				t.Errorf("the file has %q, %v, want %q", got, err, c.written)
			}
		})
	}
}

// With cgroup v1 each controller has a folder, or shares one.
func TestWhatFoldersOffer(t *testing.T) {
	if err := offers([]string{"/g/cpu,cpuacct", "/g/cpuset", "/g/memory", "/g/pids", "/g/blkio"}); err != nil {
		t.Error(err)
	}
	if err := offers([]string{"/g/cpu,cpuacct", "/g/cpuset", "/g/pids"}); err == nil || !strings.Contains(err.Error(), "no controller memory:") {
		t.Errorf("got %v, want that memory is missing", err)
	}
}
