package main

import "syscall"

// childAttributes keep Ctrl-C away from children, which are stopped in order, and let the kernel end
// them should this program be killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
