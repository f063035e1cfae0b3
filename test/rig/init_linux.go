package rig

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// machineAttributes make the first process of a machine within the machine.
func machineAttributes() []*syscall.SysProcAttr {
	return []*syscall.SysProcAttr{{
		Setpgid: true, Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
	}}
}

// beInit is what the first process in a namespace of processes does: it runs the program as its child, buries
// whatever else was left to it, such as the shims of containers, and ends when the program has. The
// kernel kills the rest then.
func beInit() (int, error) {
	// This is still the /proc of those who look from outside.
	pid, err := os.Readlink("/proc/self")
	if err != nil {
		return 0, fmt.Errorf("find the process id outside: %w", err)
	}
	if err := errors.Join(setUpMounts(), os.Setenv(EnvEntry, pid)); err != nil {
		return 0, err
	}
	files, err := inherited()
	if err != nil {
		return 0, err
	}
	if err := os.Setenv(envInside, insideProgram); err != nil {
		return 0, fmt.Errorf("set %s: %w", envInside, err)
	}
	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("find this program: %w", err)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP)
	program, err := os.StartProcess(self, os.Args, &os.ProcAttr{
		Files: append([]*os.File{os.Stdin, os.Stdout, os.Stderr}, files...),
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start the isolated program: %w", err)
	}
	go func() {
		for s := range signals {
			_ = program.Signal(s) // it may have ended just now, and then so do we
		}
	}()
	return bury(program.Pid)
}

// bury waits for every child until one of them was the program.
func bury(program int) (int, error) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("wait for the isolated program: %w", err)
		}
		if pid != program {
			continue
		}
		if status.Exited() {
			return status.ExitStatus(), nil
		}
		return 1, nil
	}
}

// setUpMounts cuts this namespace's mounts off from the machine's. They are shared within it, as kubelets ask of
// their node.
func setUpMounts() error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		// Other programs' sockets and locks are no business of ours, nor ours of them.
		{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{"tmpfs", "/var/log", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{"", "/", "", unix.MS_REC | unix.MS_SHARED, ""},
	} {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("set up the mounts of %s: %w", m.target, err)
		}
	}
	return errors.Join(coverState(), coverSettings())
}

// cover is where files lie that are seen instead of the machine's.
const cover = "/run/linkspan"

// coverState lets programs see what the machine has in /var/lib, and keeps from it what they write there: not all of them
// can be told to write elsewhere.
func coverState() error {
	for _, dir := range []string{cover + "/upper", cover + "/work"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("cover /var/lib: %w", err)
		}
	}
	if err := unix.Mount("overlay", "/var/lib", "overlay", 0, "lowerdir=/var/lib,upperdir="+cover+"/upper,workdir="+cover+"/work"); err != nil {
		return fmt.Errorf("cover /var/lib: %w", err)
	}
	return nil
}

// coverSettings shows kubelets the settings of the kernel that they want. No namespace has its own of these: kubelet would
// change the machine's, for good, and it writes only what differs.
func coverSettings() error {
	for name, value := range map[string]string{
		"vm/overcommit_memory":      "1",
		"vm/panic_on_oom":           "0",
		"kernel/panic":              "10",
		"kernel/panic_on_oops":      "1",
		"kernel/keys/root_maxkeys":  "1000000",
		"kernel/keys/root_maxbytes": "25000000",
	} {
		own, machines := filepath.Join(cover, "settings", name), filepath.Join("/proc/sys", name)
		err := errors.Join(os.MkdirAll(filepath.Dir(own), 0o755), os.WriteFile(own, []byte(value+"\n"), 0o600))
		if err == nil {
			err = unix.Mount(own, machines, "", unix.MS_BIND, "")
		}
		if err != nil {
			return fmt.Errorf("cover the machine's setting %s: %w", machines, err)
		}
	}
	return nil
}
