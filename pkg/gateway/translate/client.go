package translate

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
)

// client is the connection of a client, with what became of it. It embeds the interface and not the
// value, so that http.Server sees no *tls.Conn and no connection state, from which it would conclude
// that the bytes inside are still to be negotiated.
type client struct {
	net.Conn
	// ended is closed when the server has done with the connection.
	ended chan struct{}

	mu sync.Mutex
	// received says that a byte has come, spoke that the first bytes were HTTP/2's.
	received, spoke bool
	// cause is the first error of the connection that neither an orderly end nor we ourselves made.
	cause error
	// silent says that a ping was not answered in time.
	silent bool
}

func newClient(conn net.Conn) *client { return &client{Conn: conn, ended: make(chan struct{})} }

// Read implements net.Conn.
func (c *client) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.note(n > 0, err)
	return n, err
}

// Write implements net.Conn.
func (c *client) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n == 0 { // else the server goes on writing the rest
		c.note(false, err)
	}
	return n, err
}

func (c *client) note(received bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.received = c.received || received
	if c.cause == nil && err != nil && !isEnd(err) {
		c.cause = err
	}
}

// isEnd says that a connection ended by being closed, by the other side or by us. HTTP/2 knows by
// itself whether a request is complete, so it does not matter how: a client that closes while
// something is on its way to it resets the connection, and some leave out TLS's closing message.
func isEnd(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// follow is a http.Server's ConnState.
func (c *client) follow(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateActive: // for HTTP/2 not before its preface was read
		c.mu.Lock()
		defer c.mu.Unlock()
		c.spoke = true
	case http.StateClosed:
		close(c.ended)
	default:
	}
}

// countError is a http.HTTP2Config's CountError. It is the only way to learn that a ping was lost.
func (c *client) countError(kind string) {
	if kind != "conn_close_lost_ping" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = true
}

func (c *client) hasSpoken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spoke
}

// verdict says how the connection ended, nil if in good order.
func (c *client) verdict() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.silent || errors.Is(c.cause, os.ErrDeadlineExceeded):
		return ErrStalled
	case c.cause != nil:
		return c.cause
	case c.received && !c.spoke:
		return ErrNotHTTP2
	default:
		return nil
	}
}

// listener hands one connection to a http.Server, and then nothing until it is closed.
type listener struct {
	conn   chan net.Conn
	closed chan struct{}
	once   sync.Once
	addr   net.Addr
}

func newListener(conn net.Conn) *listener {
	l := &listener{conn: make(chan net.Conn, 1), closed: make(chan struct{}), addr: conn.LocalAddr()}
	l.conn <- conn
	return l
}

// Accept implements net.Listener. The connection comes first even if the listener is closed
// already: who waits for the end of the connection relies on the server having it.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conn:
		return conn, nil
	default:
	}
	<-l.closed
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.addr }
