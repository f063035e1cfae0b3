package egress

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// stuck is a stream on which one end has written as much as there is room for, and of which the other reads nothing.
type stuck struct {
	*world
	writer, reader *net.TCPConn
}

// newStuck makes one, at the other end of which is a gateway.
func newStuck(t *testing.T, gatewayWrites bool) stuck {
	t.Helper()
	w := newWorld(t, nil)
	w.pipes.Interval = 10 * time.Millisecond
	gateways, over := make(chan *net.TCPConn, 1), make(chan struct{})
	w.gateways.mu.Lock()
	w.gateways.hold = func(conn *net.TCPConn) {
		gateways <- conn
		<-over
	}
	w.gateways.mu.Unlock()
	t.Cleanup(func() { close(over) })
	w.follow(t, newMirror(), newLink())
	s := stuck{w, w.client(t, 20001), nil}
	select {
	case s.reader = <-gateways:
	case <-time.After(patience):
		t.Fatal("no stream comes to the gateway")
	}
	if gatewayWrites {
		s.writer, s.reader = s.reader, s.writer
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		for block := make([]byte, 32<<10); ; {
			if _, err := s.writer.Write(block); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		_ = s.writer.Close()
		writing.Wait()
	})
	last, same := -1, 0
	soon(t, func() error {
		w.records.mu.Lock()
		defer w.records.mu.Unlock()
		if w.records.bytes != last {
			last, same = w.records.bytes, 0
		}
		if same++; last <= 0 || same < 10 {
			return errors.New("there is room still")
		}
		return nil
	})
	return s
}

// A client or a gateway that takes nothing must not keep a stream whose other end is gone, nor one that is cut.
func TestAStreamThatIsStuckEndsAllTheSame(t *testing.T) {
	for who, gatewayWrites := range map[string]bool{"the gateway takes nothing": false, "the client takes nothing": true} {
		for name, c := range map[string]struct {
			do     func(t *testing.T, s stuck)
			reason string
		}{
			"and the mirror goes": {func(_ *testing.T, s stuck) { s.table.DeleteService("shop", "web-east") }, "withdrawn"},
			"and the egress ends": {func(t *testing.T, s stuck) { s.end(t) }, "stopped"},
			"and the other one leaves": {func(t *testing.T, s stuck) {
				if err := errors.Join(s.writer.SetLinger(0), s.writer.Close()); err != nil {
					t.Error(err)
				}
			}, "reset"},
		} {
			t.Run(who+" "+name, func(t *testing.T) {
				s := newStuck(t, gatewayWrites)
				c.do(t, s)
				s.records.expect(t, stream.Aborted, c.reason)
				if err := s.reader.SetReadDeadline(time.Now().Add(patience)); err != nil {
					t.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, s.reader); err == nil {
					t.Errorf("it finds an end after %d bytes", n)
				}
				soon(t, func() error {
					s.streams.mu.Lock()
					defer s.streams.mu.Unlock()
					if s.streams.count > 0 {
						return errors.New("its place is still taken")
					}
					return nil
				})
			})
		}
	}
}
