package tunnel

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unsentLimit keeps what waits in the kernel small: a stream's bytes are then still warm in the processor's cache
// when they leave, and a slow gateway is felt at once. It does not limit what is on its way (TCP_NOTSENT_LOWAT).
const unsentLimit = 128 << 10

// unansweredProbes is how many probes of a full window in a row mean something. Linux leaves one without an answer that
// comes too soon after another (tcp_invalid_ratelimit), and the next may be two minutes away.
const unansweredProbes = 3

// stateClosed is TCP_CLOSE of Linux.
const stateClosed = 7

// tune sets what the kernel allows; a connection without these options works, only less well.
func tune(conn net.Conn) {
	_ = control(conn, func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentLimit)
	})
}

// sound asks how the other end does; ok is false when nobody can tell.
func sound(conn net.Conn) (heard sounding, ok bool) {
	done := control(conn, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		ok = true
		heard.waiting = info.Probes >= unansweredProbes || info.Unacked > 0 && info.Last_data_sent < info.Last_ack_recv
		heard.closed = info.State == stateClosed
		heard.answered = time.Duration(info.Last_ack_recv) * time.Millisecond
	})
	return heard, ok && done
}

// quiet says whether nothing has come in on an idle connection: neither bytes nor its end. It does not wait.
func quiet(conn net.Conn) bool {
	if _, ok := conn.(syscall.Conn); !ok {
		return true
	}
	silent := false
	done := control(conn, func(fd int) {
		var b [1]byte
		_, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		silent = err == unix.EAGAIN
	})
	return done && silent
}

// control does something to a connection's socket, if it has one that is open.
func control(conn net.Conn, do func(fd int)) bool {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	return err == nil && raw.Control(func(fd uintptr) { do(int(fd)) }) == nil
}
