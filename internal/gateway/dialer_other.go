//go:build !unix

package gateway

import "syscall"

func reuseAddress(_, _ string, _ syscall.RawConn) error { return nil }
