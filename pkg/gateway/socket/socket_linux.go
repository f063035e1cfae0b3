package socket

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unansweredProbes is how many probes of a full window in a row mean something. Linux leaves one without an answer that
// comes too soon after another (tcp_invalid_ratelimit), and the next may be two minutes away.
const unansweredProbes = 3

// stateClosed is TCP_CLOSE of Linux.
const stateClosed = 7

// Sound asks how the other end does; ok is false when nobody can tell.
func Sound(conn net.Conn) (heard Sounding, ok bool) {
	done := Control(conn, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		ok = true
		heard.Waiting = info.Probes >= unansweredProbes || info.Unacked > 0 && info.Last_data_sent < info.Last_ack_recv
		heard.Closed = info.State == stateClosed
		heard.Owed = info.Unacked > 0 || info.Notsent_bytes > 0
		heard.Acked = info.Bytes_acked
		heard.Answered = time.Duration(info.Last_ack_recv) * time.Millisecond
	})
	return heard, ok && done
}

// Control does something to a connection's socket, if it has one that is open.
func Control(conn net.Conn, do func(fd int)) bool {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	return err == nil && raw.Control(func(fd uintptr) { do(int(fd)) }) == nil
}
