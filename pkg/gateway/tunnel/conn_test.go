package tunnel

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/socket"
)

// tcpPair are the ends of a TCP connection.
func tcpPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	near, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
	must(t, err)
	far, err = listener.Accept()
	must(t, err)
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// shake makes both ends of a TLS connection.
func shake(t *testing.T, near, far net.Conn) (client, server *Conn) {
	t.Helper()
	return shakeFor(t, near, far, ALPNLane)
}

func shakeFor(t *testing.T, near, far net.Conn, alpn string) (client, server *Conn) {
	t.Helper()
	must(t, papers().err)
	config, err := clientTLS(gatewayName, alpn)
	must(t, err)
	var wg sync.WaitGroup
	var serverErr error
	wg.Go(func() { server, serverErr = Server(t.Context(), far, serverTLS(alpn)) })
	client, err = Client(t.Context(), near, config)
	wg.Wait()
	must(t, errors.Join(err, serverErr))
	t.Cleanup(func() { client.Abort(); server.Abort() })
	return client, server
}

func tlsPair(t *testing.T) (client, server *Conn) {
	t.Helper()
	near, far := tcpPair(t)
	return shake(t, near, far)
}

// counted is a connection that counts writes, and knows the deadline that each has.
type counted struct {
	net.Conn
	writes atomic.Int64
	// readLimits is how often a limit of time was set for reading.
	readLimits atomic.Int64

	mu       sync.Mutex
	deadline time.Time
	limited  int // writes with a deadline
	broken   error
	after    int // bytes that are written before it breaks
}

func (c *counted) Write(b []byte) (int, error) {
	c.writes.Add(1)
	c.mu.Lock()
	if !c.deadline.IsZero() {
		c.limited++
	}
	broken, after := c.broken, min(c.after, len(b))
	c.mu.Unlock()
	if broken != nil {
		n, _ := c.Conn.Write(b[:after])
		return n, broken
	}
	return c.Conn.Write(b)
}

func (c *counted) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	return c.Conn.SetWriteDeadline(t)
}

func (c *counted) SetReadDeadline(t time.Time) error {
	if t.After(time.Now()) {
		c.readLimits.Add(1)
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *counted) SetDeadline(t time.Time) error {
	return errors.Join(c.SetWriteDeadline(t), c.SetReadDeadline(t))
}

func TestALargeWriteIsOneSystemCall(t *testing.T) {
	near, far := tcpPair(t)
	raw := &counted{Conn: near}
	client, server := shake(t, raw, far)
	for _, c := range []struct{ size, calls int }{{0, 0}, {1, 1}, {largeWrite, 1}, {largeWrite + 1, 1}, {mostGathered, 1}, {mostGathered + 1, 2}, {3 * mostGathered, 3}} {
		before := raw.writes.Load()
		data := pattern(c.size)
		var wg sync.WaitGroup
		wg.Go(func() {
			if n, err := client.Write(data); n != len(data) || err != nil {
				t.Errorf("%d of %d bytes were written, %v", n, len(data), err)
			}
		})
		got := make([]byte, c.size)
		if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes do not arrive as they were: %v", c.size, err)
		}
		wg.Wait()
		if n := raw.writes.Load() - before; n != int64(c.calls) {
			t.Errorf("%d bytes took %d calls, want %d", c.size, n, c.calls)
		}
	}
}

// A go-away is written by another goroutine than the stream's; so are TLS's own answers. Nothing may get into the middle of a chunk.
func TestWritesOfSeveralGoroutinesStayWhole(t *testing.T) {
	client, server := tlsPair(t)
	s := newLaneStream(client, func(bool) {})
	data := pattern(1 << 20)
	var writers sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if err := writeControl(client, chunkGoAway); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	writers.Go(func() {
		defer close(stop)
		if _, err := s.Write(data); err != nil {
			t.Error(err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	in := newLaneStream(server, func(bool) {})
	got, err := io.ReadAll(in)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes came, %v", len(got), len(data), err)
	}
	go func() { _, _ = io.Copy(io.Discard, server) }() // the rest of the go-aways
	writers.Wait()
}

// Bytes of a record that is not whole must not be followed by others: TLS does not know that it is missing some.
func TestNothingIsWrittenAfterAWriteThatFailed(t *testing.T) {
	near, far := tcpPair(t)
	raw := &counted{Conn: near}
	client, server := shake(t, raw, far)
	raw.mu.Lock()
	raw.broken, raw.after = errors.New("boom"), 20_000
	raw.mu.Unlock()
	if n, err := client.Write(pattern(mostGathered)); n != 0 || err == nil {
		t.Errorf("a write that failed gives %d, %v", n, err)
	}
	raw.mu.Lock()
	raw.broken = nil
	raw.mu.Unlock()
	before := raw.writes.Load()
	for range 3 {
		if _, err := client.Write([]byte("more")); err == nil {
			t.Error("more was written")
		}
		if _, err := client.Write(pattern(mostGathered)); err == nil {
			t.Error("more was written")
		}
	}
	if err := client.CloseWrite(); err == nil {
		t.Error("an end was written")
	}
	_ = client.Close()
	if n := raw.writes.Load() - before; n > 0 {
		t.Errorf("there were %d more writes", n)
	}
	if _, err := io.Copy(io.Discard, server); err == nil {
		t.Error("the other end sees an end")
	}
}

// crypto/tls gives a close_notify five seconds, which is short for a receiver that is busy.
func TestAnEndWaitsForABusyReceiver(t *testing.T) {
	near, far := tcpPair(t)
	raw := &counted{Conn: near}
	client, server := shake(t, raw, far)
	must(t, client.CloseWrite())
	must(t, client.CloseWrite())
	end(t, server)
	raw.mu.Lock()
	limited, deadline := raw.limited, raw.deadline
	raw.mu.Unlock()
	if limited > 0 || !deadline.IsZero() {
		t.Errorf("%d writes had a deadline, and %v is left", limited, deadline)
	}
	write(t, server, "the other direction")
	read(t, client, "the other direction")
}

// Close while a Write does not get on must not wait for the five seconds of a close_notify.
func TestCloseCutsAWriteThatDoesNotGetOn(t *testing.T) {
	for name, size := range map[string]int{"a large one": mostGathered, "a small one": 100} {
		t.Run(name, func(t *testing.T) {
			client, _ := tlsPair(t)
			var written atomic.Int64
			var writer sync.WaitGroup
			writer.Go(func() {
				for {
					n, err := client.Write(make([]byte, size))
					written.Add(int64(n))
					if err != nil {
						return
					}
				}
			})
			last, same := int64(-1), 0
			eventually(t, "the write is stuck", func() bool {
				if now := written.Load(); now == last && now > 0 {
					same++
				} else {
					last, same = now, 0
				}
				return same > 20
			})
			began := time.Now()
			_ = client.Close()
			writer.Wait()
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestAHandshakeThatFailsSaysWhetherAnythingCame(t *testing.T) {
	must(t, papers().err)
	for name, c := range map[string]struct {
		other  func(conn net.Conn)
		silent bool
	}{
		"closed at once":    {func(conn net.Conn) { conn.Close() }, true},
		"reset at once":     {func(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0); conn.Close() }, true},
		"something else":    {func(conn net.Conn) { _, _ = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }, false},
		"half of something": {func(conn net.Conn) { _, _ = conn.Write([]byte{22}); conn.Close() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := tcpPair(t)
			c.other(far)
			_, err := Server(t.Context(), near, serverTLS(ALPNLane))
			if err == nil || errors.Is(err, ErrSilent) != c.silent {
				t.Errorf("got %v", err)
			}
			if _, err := near.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Error("the connection is open")
			}
		})
	}
	t.Run("a time limit", func(t *testing.T) {
		near, _ := tcpPair(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := Server(ctx, near, serverTLS(ALPNLane)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAConnectionWithoutASocketWorksToo(t *testing.T) {
	near, far := net.Pipe()
	client, server := shake(t, near, far)
	if client.watch != nil {
		t.Error("it is watched")
	}
	if !quiet(near) {
		t.Error("a lane on it would never be used again")
	}
	var wg sync.WaitGroup
	wg.Go(func() { write(t, client, "hello") })
	read(t, server, "hello")
	wg.Wait()
	wg.Go(func() { client.Abort() })
	if _, err := server.Read(make([]byte, 1)); err == nil || ended(err) {
		t.Errorf("an abort looks like an end: %v", err)
	}
	wg.Wait()
}

// TLS itself may answer in between, as to a change of keys, while a stream writes.
func TestTheErrorOfADeadPeerIsATimeout(t *testing.T) {
	if no, _ := errors.AsType[syscall.Errno](socket.ErrUnanswered); no != syscall.ETIMEDOUT || !isTimeout(socket.ErrUnanswered) {
		t.Error(socket.ErrUnanswered)
	}
	client, _ := tlsPair(t)
	client.watch.dead.Store(true)
	client.Abort()
	_, readErr := client.Read(make([]byte, 1))
	_, writeErr := client.Write(make([]byte, 1))
	_, largeErr := client.Write(make([]byte, mostGathered))
	for _, err := range []error{readErr, writeErr, largeErr, client.CloseWrite()} {
		if !errors.Is(err, socket.ErrUnanswered) {
			t.Errorf("got %v", err)
		}
	}
}

var _ net.Conn = (*tls.Conn)(nil)
