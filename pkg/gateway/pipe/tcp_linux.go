package pipe

import (
	"net"

	"golang.org/x/sys/unix"
)

// stateClosed is the state of a connection that is no more: TCP_CLOSE of Linux. One whose other side has ended,
// and ours has not, is in TCP_CLOSE_WAIT (RFC 9293 section 3.3.2).
const stateClosed = 7

// wasReset says whether a connection ended otherwise than by ends.
func wasReset(conn *net.TCPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	reset := true
	_ = raw.Control(func(fd uintptr) { // fails when it is closed already
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		reset = err != nil || info.State == stateClosed
	})
	return reset
}
