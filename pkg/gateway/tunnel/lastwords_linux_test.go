package tunnel

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// deafConn is one whose other end has gone, as far as writes know, although what it said before can be read.
type deafConn struct {
	*net.TCPConn
	deaf atomic.Bool
}

func (c *deafConn) Write(b []byte) (int, error) {
	if c.deaf.Load() {
		return 0, &net.OpError{Op: "write", Net: "tcp", Addr: c.RemoteAddr(), Err: syscall.EPIPE}
	}
	return c.TCPConn.Write(b)
}

// A gateway that refuses our certificate ends the connection with an alert. A write that finds the end before the alert was read
// hides it from nobody.
func TestAnAlertIsHeardBehindAWriteThatFails(t *testing.T) {
	for name, c := range wires {
		t.Run(name, func(t *testing.T) {
			var conn atomic.Pointer[deafConn]
			var told atomic.Pointer[DialError]
			e := newEgress(t, Options{Lanes: c.lanes}, Dependencies{
				TLS: anonymousTLS,
				Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					raw, err := (&net.Dialer{}).DialContext(ctx, network, address)
					if err != nil {
						return nil, err
					}
					deaf := &deafConn{TCPConn: raw.(*net.TCPConn)}
					conn.Store(deaf)
					return deaf, nil
				},
				Dialed: func(err *DialError) {
					if err != nil {
						told.Store(err)
						return
					}
					deaf := conn.Load() // the handshake is over, and nothing is written yet
					eventually(t, "the alert to come", func() bool { return !quiet(deaf.TCPConn) })
					deaf.deaf.Store(true)
				},
			}, newIngress(t, speaking(c.alpn...)))
			e.expectTurnedAway()
			e.eventually("the failure to be told", func() bool { return told.Load() != nil })
			if last := told.Load(); last.Step != StepTLS || !strings.Contains(last.Error(), "certificate required") {
				t.Errorf("told is %v", last)
			}
		})
	}
}
