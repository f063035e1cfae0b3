package rig

import "syscall"

// ChildAttributes are for programs that a test starts beside the clusters: each gets a process group of
// its own, and ends when the test's process does, whatever ends that.
func ChildAttributes() *syscall.SysProcAttr { return childAttributes() }

// Halted is nil when every thread of a process stands still, which is some time after SIGSTOP. On
// systems that do not tell it asks nobody.
func Halted(pid int) error { return halted(pid) }
