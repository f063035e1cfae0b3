package ingress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/exports"
	"github.com/linkspan/linkspan/pkg/gateway/pipe"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/translate"
	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
)

// unreachedError is why there is no connection to the application.
type unreachedError struct{ err error }

// Error implements error.
func (e *unreachedError) Error() string { return "connecting to the application: " + e.err.Error() }

// Unwrap gives the cause.
func (e *unreachedError) Unwrap() error { return e.err }

// ends are what a cut aborts. Both, because an application that takes nothing keeps whoever writes to it from noticing
// anything else.
type ends struct {
	client pipe.Stream

	mu  sync.Mutex
	app pipe.Stream // guarded by mu; nil before there is one
	cut bool        // guarded by mu
}

// abort waits for nobody.
func (e *ends) abort() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cut = true
	e.client.Abort()
	if e.app != nil {
		e.app.Abort()
	}
}

// reach adds the application, which may come after the cut.
func (e *ends) reach(app pipe.Stream) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.app = app
	if e.cut {
		app.Abort()
	}
}

// forward moves bytes. Linkerd's http1 streams are plain HTTP/1 and need no more. With an unreachedError the
// stream is still open.
func (c *connection) forward(ctx context.Context, both *ends, export exports.Export, rec *stream.Record) error {
	app, err := c.dial(ctx, export.Addresses)
	if err != nil {
		return err
	}
	both.reach(app)
	rec.Connect = time.Since(rec.Start)
	result := c.server.pipes.Join(both.client, app, pipe.Options{Moved: func(to pipe.Side, n int) {
		c.server.deps.Recorder.Bytes(stream.Ingress, direction(to), int64(n))
	}})
	rec.Sent, rec.Received = result.ToServer, result.ToClient
	rec.SentCounted, rec.ReceivedCounted = result.ToServer, result.ToClient
	if result.FirstByte > 0 {
		rec.FirstByte = rec.Connect + result.FirstByte
	}
	return result.Err
}

func direction(to pipe.Side) stream.Direction {
	if to == pipe.Server {
		return stream.Sent
	}
	return stream.Received
}

// dial connects to the first address of an application that answers.
func (c *connection) dial(ctx context.Context, addresses []netip.AddrPort) (pipe.Stream, error) {
	conn, err := c.connect(ctx, addresses)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		_ = conn.Close()
		return nil, &unreachedError{fmt.Errorf("the connection is a %T, not TCP", conn)}
	}
	return pipe.TCP(tcp), nil
}

// maxAttempts is how many endpoints of a headless Service are tried for one stream.
const maxAttempts = 3

func (c *connection) connect(ctx context.Context, addresses []netip.AddrPort) (net.Conn, error) {
	err := errors.New("the Service has no address")
	addresses = addresses[:min(len(addresses), maxAttempts)]
	for i, address := range addresses {
		var conn net.Conn
		if conn, err = c.connectTo(ctx, address, len(addresses)-i); err == nil {
			return conn, nil
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			break // nobody waits for it any more, which says nothing about the address
		}
		c.server.deps.Recorder.DialFailed(stream.Ingress, stream.DialReason(err))
	}
	return nil, &unreachedError{err}
}

// connectTo leaves time for the other addresses that are left, when there is a limit for all.
func (c *connection) connectTo(ctx context.Context, address netip.AddrPort, left int) (net.Conn, error) {
	limit := c.server.options.ConnectTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/time.Duration(left))
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return c.server.deps.Dial(limited, "tcp", address.String())
}

// translate serves HTTP/2 from a Linkerd proxy. The application is looked up for each connection to
// it, so that a headless Service's endpoints are followed.
func (c *connection) translate(ctx context.Context, in tunnel.Incoming, r request, rec *stream.Record) error {
	counted := &countedConn{Stream: in.Stream, moved: c.server.deps.Recorder.Bytes}
	var connected atomic.Int64 // when the application was first reached, in nanoseconds from the start
	draining, stop := c.server.untilDrain(ctx)
	defer stop()
	_, err := translate.Serve(draining, counted, translate.Options{
		Dial: func(dialCtx context.Context) (net.Conn, error) {
			export, err := c.server.deps.Exports.Resolve(r.target, r.port)
			if err != nil {
				return nil, notForClients(err)
			}
			conn, err := c.connect(dialCtx, export.Addresses)
			if err == nil {
				connected.CompareAndSwap(0, int64(time.Since(rec.Start)))
			}
			return conn, err
		},
		Room:   c.room(*rec),
		Client: c.client, Gateway: c.server.deps.Certificates.Identity(), Log: c.server.deps.Log, Limits: c.server.options.HTTP,
	})
	rec.Connect = time.Duration(connected.Load())
	rec.Sent, rec.Received = counted.in.Load(), counted.out.Load()
	rec.SentCounted, rec.ReceivedCounted = rec.Sent, rec.Received
	return err
}

// notForClients leaves out what errors of package exports say: package translate tells clients.
func notForClients(err error) error {
	return fmt.Errorf("there is no way to it now (%s)", exports.ReasonOf(err))
}

// untilDrain gives a context that ends with ctx, or when draining begins. stop waits for its goroutine.
func (s *Server) untilDrain(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-s.draining:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel()
		<-over
	}
}

// closeTimeout is how long a client has to take what is left for it, once it has ended its own direction.
const closeTimeout = time.Second

// countedConn counts what goes through a connection.
type countedConn struct {
	tunnel.Stream
	moved   func(stream.Side, stream.Direction, int64)
	in, out atomic.Int64
	ended   atomic.Bool
}

// Read implements net.Conn.
func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Stream.Read(b)
	c.in.Add(int64(n))
	c.moved(stream.Ingress, stream.Sent, int64(n))
	if errors.Is(err, io.EOF) {
		c.ended.Store(true)
	}
	return n, err
}

// Write implements net.Conn.
func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Stream.Write(b)
	c.out.Add(int64(n))
	c.moved(stream.Ingress, stream.Received, int64(n))
	return n, err
}

// Close implements net.Conn. Our direction is ended first if the client has ended its own: closing a stream
// whose directions have not both ended is an abort.
func (c *countedConn) Close() error {
	if c.ended.Load() && c.SetWriteDeadline(time.Now().Add(closeTimeout)) == nil {
		_ = c.CloseWrite() // closing is all that is left to do, whether it fails or not
	}
	return c.Stream.Close()
}
