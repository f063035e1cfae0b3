package rig

import "syscall"

// childAttributes put a child into its own process group, so that Ctrl-C reaches only us and we
// stop it in order, and let the kernel kill it when we die. The kernel means the thread that made
// the child; the Go runtime ends only threads that a goroutine died on while locked to them, and
// nothing here locks one.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
