//go:build unix && !linux

package process

import "syscall"

func Attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// Halted cannot be told here; the signal has been sent.
func Halted(int) error { return nil }
