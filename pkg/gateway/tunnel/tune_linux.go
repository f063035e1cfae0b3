package tunnel

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/linkspan/linkspan/pkg/gateway/socket"
)

// unsentLimit keeps what waits in the kernel small: a stream's bytes are then still warm in the processor's cache
// when they leave, and a slow gateway is felt at once. It does not limit what is on its way (TCP_NOTSENT_LOWAT).
const unsentLimit = 128 << 10

// tune sets what the kernel allows; a connection without these options works, only less well.
func tune(conn net.Conn) {
	_ = socket.Control(conn, func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentLimit)
	})
}

// quiet says whether nothing has come in on an idle connection: neither bytes nor its end. It does not wait.
func quiet(conn net.Conn) bool {
	if _, ok := conn.(syscall.Conn); !ok {
		return true
	}
	silent := false
	done := socket.Control(conn, func(fd int) {
		var b [1]byte
		_, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		silent = err == unix.EAGAIN
	})
	return done && silent
}
