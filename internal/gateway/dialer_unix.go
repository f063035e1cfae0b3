//go:build unix

package gateway

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func reuseAddress(_, _ string, conn syscall.RawConn) error {
	var failed error
	if err := conn.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}); err != nil {
		return err
	}
	return failed
}
