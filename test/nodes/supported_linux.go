package nodes

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/linkspan/linkspan/test/nodes/host"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// Missing tells what this machine lacks to run nodes, each with what to do about it; nothing when it can. What
// depends on being root is only asked as root.
func Missing() []string {
	if os.Geteuid() != 0 {
		return []string{"root: namespaces of mounts and control groups are made as root only"}
	}
	var missing []string
	for program, from := range map[string]string{"nft": "nftables", "ip": "iproute2", "mount": "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, fmt.Sprintf("the program %s (hack/nodes/setup installs the package %s)", program, from))
		}
	}
	for _, check := range []func() error{capabilities, packetFilters, cgroupsAreWritable, filesystemStacks} {
		if err := check(); err != nil {
			missing = append(missing, err.Error())
		}
	}
	return missing
}

// Supported is Missing as an error.
func Supported() error {
	missing := Missing()
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("this machine cannot run Kubernetes nodes on %s, it lacks: %s", runtime.GOOS, strings.Join(missing, "; "))
}

// fits says whether the control planes that the environment asks for are fit for our nodes: kubelets are of one version always,
// and none may be newer than its API server.
func fits() error {
	dir := os.Getenv(kubebin.EnvAssets)
	if dir == "" && kubebin.Minor() != kubebin.DefaultMinor {
		return fmt.Errorf("nodes are of %s, and Kubernetes forbids a control plane of another version, %s: unset %s",
			kubebin.DefaultMinor, kubebin.Minor(), kubebin.EnvMinor)
	}
	if dir == "" {
		return nil
	}
	for _, name := range []string{kubebin.ControllerManager, kubebin.Kubectl} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("clusters with nodes need %s too in %s: %w", name, kubebin.EnvAssets, err)
		}
	}
	return nil
}

// capabilities are what root lacks in a container that has not been given them.
func capabilities() error {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fmt.Errorf("a list of this process's capabilities: %w", err)
	}
	_, after, _ := strings.Cut(string(text), "\nCapEff:")
	var effective uint64
	if _, err := fmt.Sscanf(strings.TrimSpace(after), "%x", &effective); err != nil {
		return fmt.Errorf("a list of this process's capabilities: %w", err)
	}
	for name, bit := range map[string]int{"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_SYS_CHROOT": unix.CAP_SYS_CHROOT} {
		if effective&(1<<bit) == 0 {
			return fmt.Errorf("the capability %s (is this a container? run it privileged)", name)
		}
	}
	return nil
}

// packetFilters only looks.
func packetFilters() error {
	path, err := exec.LookPath("nft")
	if err != nil {
		return nil // said already
	}
	if said, err := exec.Command(path, "list", "tables").CombinedOutput(); err != nil {
		return fmt.Errorf("nf_tables in its kernel: %w: %s", err, strings.TrimSpace(string(said)))
	}
	return nil
}

func cgroupsAreWritable() error {
	name := fmt.Sprintf("%scheck-%d", runPrefix, os.Getpid())
	err := errors.Join(host.MakeCgroup(name), host.RemoveCgroup(name))
	if err != nil {
		return fmt.Errorf("control groups that can be written, with the controllers cpu, cpuset, memory and pids: %w", err)
	}
	return nil
}

// filesystemStacks only looks: mounting would touch the machine.
func filesystemStacks() error {
	text, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return fmt.Errorf("a list of file systems: %w", err)
	}
	if strings.Contains(string(text), "\toverlay\n") {
		return nil
	}
	modules, err := filepath.Glob("/lib/modules/*/kernel/fs/overlayfs")
	if err == nil && len(modules) > 0 {
		return nil
	}
	return errors.New("the file system overlay in its kernel")
}
