package rig

import (
	"syscall"

	"github.com/linkspan/linkspan/test/rig/process"
)

// ChildAttributes are for programs that a test starts beside the clusters: each gets a process group of
// its own, and ends when the test's process does, whatever ends that.
func ChildAttributes() *syscall.SysProcAttr { return process.Attributes() }

// Halted is nil when every thread of a process stands still, which is some time after SIGSTOP. On
// systems that do not tell it asks nobody.
func Halted(pid int) error { return process.Halted(pid) }
