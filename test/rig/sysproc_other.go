//go:build unix && !linux

package rig

import "syscall"

func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// halted cannot be told here; the signal has been sent.
func halted(int) error { return nil }
