package translate

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// applicationHost stands in URLs where a transport wants a name. There is one application only, and
	// what is sent as Host or :authority is the client's.
	applicationHost = "application.invalid"

	// Servers close idle HTTP/1 connections after five seconds at the least, in the wild. Being earlier
	// avoids sending a request into a connection that is being closed.
	http1IdleTimeout = 3 * time.Second
	http2IdleTimeout = time.Minute
)

// application is the other side: all connections to it that one client's requests need.
type application struct {
	http1, http2 *http.Transport

	mu     sync.Mutex
	closed bool
	conns  map[*applicationConn]struct{}
	dials  sync.WaitGroup
}

// newApplication also gives the function that ends it: it breaks off what is being dialled, closes
// all connections and waits. Nothing can be sent any more then.
func newApplication(ctx context.Context, o Options) (*application, func()) {
	ctx, cancel := context.WithCancel(ctx)
	a := &application{conns: map[*applicationConn]struct{}{}}
	// A transport goes on dialling after the request that wanted the connection has ended. Here
	// dialling ends with the client's connection at the latest (LESSON-60).
	dial := func(dialCtx context.Context, _, _ string) (net.Conn, error) {
		dialCtx, cancelDial := context.WithTimeout(dialCtx, o.Limits.ConnectTimeout)
		defer cancelDial()
		defer context.AfterFunc(ctx, cancelDial)()
		return a.dial(dialCtx, o.Dial)
	}
	a.http1 = newTransport(dial, o.Limits)
	a.http1.Protocols.SetHTTP1(true)
	a.http1.IdleConnTimeout = http1IdleTimeout
	a.http2 = newTransport(dial, o.Limits)
	a.http2.Protocols.SetUnencryptedHTTP2(true)
	a.http2.IdleConnTimeout = http2IdleTimeout
	// No pings: gRPC servers hang up on clients that ping more than once in five minutes.
	a.http2.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: downloadWindow}
	return a, func() {
		cancel()
		a.close()
	}
}

func newTransport(dial func(context.Context, string, string) (net.Conn, error), limits Limits) *http.Transport {
	return &http.Transport{
		Protocols:   new(http.Protocols),
		DialContext: dial,
		// Nothing is decompressed, so nothing may be asked for on our own account.
		DisableCompression:     true,
		MaxIdleConnsPerHost:    limits.MaxStreams,
		MaxResponseHeaderBytes: int64(limits.MaxHeaderBytes),
	}
}

func (a *application) dial(ctx context.Context, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return nil, net.ErrClosed
	}
	a.dials.Add(1)
	a.mu.Unlock()
	defer a.dials.Done()

	conn, err := dial(ctx)
	if err != nil {
		return nil, &dialError{cause: err, late: errors.Is(ctx.Err(), context.DeadlineExceeded)}
	}
	tracked := &applicationConn{Conn: conn, owner: a}
	a.mu.Lock()
	a.conns[tracked] = struct{}{}
	a.mu.Unlock()
	return tracked, nil
}

func (a *application) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.dials.Wait()
	a.http1.CloseIdleConnections()
	a.http2.CloseIdleConnections()

	a.mu.Lock()
	conns := a.conns
	a.conns = nil
	a.mu.Unlock()
	for conn := range conns {
		_ = conn.Conn.Close()
	}
}

// applicationConn is a connection to the application that is known as long as it is open.
type applicationConn struct {
	net.Conn
	owner *application
}

// Close implements net.Conn. It closes before it forgets, so that what is forgotten is closed.
func (c *applicationConn) Close() error {
	err := c.Conn.Close()
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	delete(c.owner.conns, c)
	return err
}

// dialError is why there is no connection to the application.
type dialError struct {
	cause error
	late  bool
}

// Error implements error.
func (e *dialError) Error() string { return "connecting to the application: " + e.cause.Error() }

// Unwrap gives the cause.
func (e *dialError) Unwrap() error { return e.cause }
