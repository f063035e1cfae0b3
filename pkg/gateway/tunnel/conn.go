package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/socket"
)

const (
	// largeWrite is from how many bytes on a write is gathered: more than one TLS record.
	largeWrite = 16 << 10
	// mostGathered is how much is gathered at a time. With what TLS adds it stays below the 64 KiB that the
	// kernel sends as one segment.
	mostGathered = 48 << 10
)

// Conn is a TLS connection. A large write becomes one system call instead of one for each TLS record,
// an abort is a TCP reset, and a connection that is cut, or whose other end answers no more, never looks ended.
type Conn struct {
	*tls.Conn
	raw   *gatherer
	watch *watch
	// alert is what the other end ended the connection for, if it said so.
	alert atomic.Pointer[net.OpError]
}

// Client shakes hands over raw as the client.
func Client(ctx context.Context, raw net.Conn, config *tls.Config) (*Conn, error) {
	return handshake(ctx, raw, config, tls.Client, func(bool) {})
}

// Server shakes hands over raw as the server.
func Server(ctx context.Context, raw net.Conn, config *tls.Config) (*Conn, error) {
	if c, ok := raw.(interface {
		SetKeepAliveConfig(net.KeepAliveConfig) error
	}); ok {
		_ = c.SetKeepAliveConfig(clientKeepAlive()) // without it a client that has vanished is noticed later
	}
	return handshake(ctx, raw, config, tls.Server, func(bool) {})
}

// clientKeepAlive finds a client that has vanished, while nothing is on its way to it, in twenty seconds.
func clientKeepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 2}
}

// ErrSilent means that the other end sent nothing at all. Health checks of load balancers connect and
// close at once (LESSON-53).
var ErrSilent = errors.New("the other end sent nothing")

// handshake closes raw when it fails. It sees to it that closed is called once raw is closed.
func handshake(
	ctx context.Context, raw net.Conn, config *tls.Config, role func(net.Conn, *tls.Config) *tls.Conn, closed func(shaken bool),
) (*Conn, error) {
	tune(raw)
	gather := &gatherer{Conn: raw, closed: closed}
	conn := &Conn{Conn: role(gather, config), raw: gather}
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = gather.Close() // the handshake's error is the one to tell
		if !gather.heard.Load() {
			return nil, fmt.Errorf("%w: %w", ErrSilent, err)
		}
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	gather.shaken.Store(true)
	conn.watch = newWatch(raw, conn.Abort, socket.Patience)
	conn.watch.start()
	return conn, nil
}

// Read implements net.Conn. Its io.EOF is the close_notify of the other end, and nothing else is.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		err = c.meaning(err)
	}
	return n, err
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (written int, err error) {
	for len(b) > largeWrite && err == nil {
		var n int
		n, err = c.gather(b[:min(len(b), mostGathered)])
		written += n
		b = b[n:]
	}
	if len(b) > 0 && err == nil {
		var n int
		n, err = c.Conn.Write(b)
		written += n
	}
	if err != nil {
		err = c.meaning(err)
	}
	return written, err
}

// gather writes b with one system call. When that fails nobody knows how much of it left.
func (c *Conn) gather(b []byte) (int, error) {
	c.raw.hold()
	n, err := c.Conn.Write(b)
	if flushed := c.raw.release(); err == nil {
		err = flushed
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// CloseWrite sends a close_notify. It waits for a receiver that is busy as long as Write does, where
// crypto/tls would give up after five seconds and so cut a stream that is complete.
func (c *Conn) CloseWrite() error {
	c.raw.hold()
	err := c.Conn.CloseWrite()
	if reset := c.raw.SetWriteDeadline(noDeadline); err == nil { // crypto/tls left it in the past
		err = reset
	}
	if flushed := c.raw.release(); err == nil {
		err = flushed
	}
	if err != nil {
		err = c.meaning(err)
	}
	return err
}

// Close implements net.Conn: a close_notify, if there is none yet, and the end of the connection. A write
// that does not get on is cut.
func (c *Conn) Close() error {
	c.watch.stop()
	if c.raw.busy() {
		return c.raw.Close()
	}
	return c.Conn.Close()
}

// Taken is how many bytes the other end has acknowledged, of TLS's.
func (c *Conn) Taken() uint64 {
	heard, _ := socket.Sound(c.raw.Conn)
	return heard.Acked
}

// Abort ends the connection at once, with a TCP reset where it is TCP.
func (c *Conn) Abort() {
	c.watch.stop()
	if t, ok := c.raw.Conn.(interface{ SetLinger(sec int) error }); ok {
		_ = t.SetLinger(0) // fails only when the connection is closed already
	}
	_ = c.raw.Close()
}

// Gone implements pipe.Stream, for the ways that have a connection to themselves.
func (c *Conn) Gone() error {
	if !c.watch.gone() {
		return nil
	}
	return c.meaning(fmt.Errorf("the connection is no more: %w", syscall.ECONNRESET))
}

// opAlert is the Op of crypto/tls's errors for alerts of the other end. In TLS 1.3 a server that refuses the
// certificate of a client says so after the handshake that the client sees (RFC 8446 section 4.4.2.4).
const opAlert = "remote error"

// meaning puts errors in terms of the connection.
func (c *Conn) meaning(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == opAlert {
		c.alert.Store(op)
	}
	switch {
	case c.watch.gaveUp():
		return socket.ErrUnanswered
	case errors.Is(err, errCut):
		return io.ErrUnexpectedEOF
	default:
		return err
	}
}

// lastWordsTime is how long to wait for what the other end said before it ended the connection. It has come already.
const lastWordsTime = 100 * time.Millisecond

// lastWords is for a connection that could not be written to: an alert that says why may wait to be read still. Nobody else may
// be reading, and whatever else came is lost.
func (c *Conn) lastWords() {
	if err := c.SetReadDeadline(time.Now().Add(lastWordsTime)); err == nil {
		_, _ = io.CopyN(io.Discard, c, MaxChunk) // Read keeps the alert
	}
}

// errCut is the end of the TCP connection, which anybody on the way can cause. Between two records
// crypto/tls takes io.EOF for the end of the stream, against RFC 8446 section 6.1.
var errCut = fmt.Errorf("the connection ended without a close_notify: %w", io.ErrUnexpectedEOF)

// gatherer holds writes back between hold and release, and knows whether it ever read anything.
type gatherer struct {
	net.Conn

	heard  atomic.Bool // whether anything was read
	shaken atomic.Bool // whether there was a handshake

	ending sync.Once
	closed func(shaken bool)

	mu   sync.Mutex
	held bool
	buf  *[]byte
	// failed is why a release did not write everything. Nothing is written after that: TLS does not know
	// that part of its bytes is missing.
	failed error
}

// gatherBuffers hold mostGathered with the overhead of its TLS records.
var gatherBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, mostGathered+1<<10)
	return &b
}}

// Read implements net.Conn.
func (g *gatherer) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if n > 0 && !g.heard.Load() {
		g.heard.Store(true)
	}
	if ended(err) {
		err = errCut
	}
	return n, err
}

// ended tells the end of what is read from errors that wrap one.
func ended(err error) bool {
	return err == io.EOF //nolint:errorlint // see above
}

// Close implements net.Conn.
func (g *gatherer) Close() error {
	defer g.ending.Do(func() { g.closed(g.shaken.Load()) })
	return g.Conn.Close()
}

func (g *gatherer) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = true
}

// Write implements net.Conn.
func (g *gatherer) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed != nil {
		return 0, g.failed
	}
	if !g.held {
		return g.Conn.Write(b)
	}
	if g.buf == nil {
		buf, ok := gatherBuffers.Get().(*[]byte)
		if !ok {
			return 0, fmt.Errorf("tunnel: no buffer to gather %d bytes", len(b))
		}
		g.buf = buf
	}
	*g.buf = append(*g.buf, b...)
	return len(b), nil
}

// release writes what was held back.
func (g *gatherer) release() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = false
	if g.buf == nil {
		return g.failed
	}
	_, err := g.Conn.Write(*g.buf)
	if err != nil {
		g.failed = err
	}
	*g.buf = (*g.buf)[:0]
	gatherBuffers.Put(g.buf)
	g.buf = nil
	return err
}

// busy says whether something is being written now.
func (g *gatherer) busy() bool {
	if !g.mu.TryLock() {
		return true
	}
	g.mu.Unlock()
	return false
}
