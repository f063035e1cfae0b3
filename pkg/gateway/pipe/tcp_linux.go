package pipe

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// lost says how a connection has ended: closed when there is none any more, which is also so once both sides have
// ended their directions, and failed when it was reset or timed out. Nobody else is deprived of that error.
func lost(conn *net.TCPConn) (closed, failed bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return true, true
	}
	closed, failed = true, true
	_ = raw.Control(func(fd uintptr) { // fails when it is closed already
		ask := []unix.PollFd{{Fd: int32(fd)}}
		for _, err := unix.Poll(ask, 0); errors.Is(err, unix.EINTR); {
			_, err = unix.Poll(ask, 0)
		}
		closed, failed = ask[0].Revents&unix.POLLHUP != 0, ask[0].Revents&unix.POLLERR != 0
	})
	return closed, failed
}
