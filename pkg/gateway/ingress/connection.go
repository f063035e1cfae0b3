package ingress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/certs"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
)

// connection is a connection whose client is known. It may carry many streams.
type connection struct {
	server *Server
	client string
	peer   string
	state  tls.ConnectionState
	// cut ends the connection, and all streams on it, for a reason.
	cut  context.CancelCauseFunc
	used atomic.Bool
	// stranger is set when the gateway's list did not let the client in when it came.
	stranger bool
	// retired is closed when the connection is to carry no more streams than it has.
	retired           chan struct{}
	retiring, parting sync.Once
}

// retire asks the client for no more streams on this connection. It does not wait.
func (c *connection) retire() { c.retiring.Do(func() { close(c.retired) }) }

// serve serves one connection to its end.
func (s *Server) serve(ctx context.Context, raw net.Conn) {
	s.deps.Recorder.ConnectionOpened(stream.Ingress)
	result := s.serveCounted(ctx, raw)
	s.deps.Recorder.ConnectionClosed(stream.Ingress, result)
}

func (s *Server) serveCounted(ctx context.Context, raw net.Conn) stream.ConnectionResult {
	renewed := s.deps.Certificates.Changed()
	conn, err := s.handshake(ctx, raw)
	switch {
	case err == nil:
		return s.serveClient(ctx, conn, renewed)
	case errors.Is(err, errFull):
		s.turnAway(raw)
		return stream.ConnectionRefused
	case errors.Is(err, tunnel.ErrSilent) && !errors.Is(err, context.DeadlineExceeded):
		return stream.ConnectionUnused // a load balancer's health check: no error (LESSON-53)
	}
	reason := certs.FailureReason(err)
	s.deps.Recorder.HandshakeFailed(stream.Ingress, reason)
	s.deps.Log.V(1).Info("A TLS handshake failed", "peer", raw.RemoteAddr().String(), "reason", reason, "error", stream.Text(err.Error()))
	return stream.ConnectionFailed
}

var (
	errFull = errors.New("as many handshakes as there may be are under way")
	errSlow = fmt.Errorf("another handshake needed the place: %w", context.DeadlineExceeded)
)

// handshake makes the TLS handshake. It closes raw when that fails, except with errFull. An error is
// context.DeadlineExceeded as well when it was too slow.
func (s *Server) handshake(ctx context.Context, raw net.Conn) (*tunnel.Conn, error) {
	limited, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	place := s.handshakes.begin(time.Now(), func() { giveUp(errSlow) })
	if place == nil {
		return nil, errFull
	}
	defer s.handshakes.end(place)
	limited, cancel := context.WithTimeout(limited, s.options.HandshakeTimeout)
	defer cancel()
	conn, err := tunnel.Server(limited, raw, s.tls)
	if cause := context.Cause(limited); err != nil && errors.Is(cause, context.DeadlineExceeded) {
		return nil, fmt.Errorf("%w: %w", cause, err)
	}
	return conn, err
}

// serveClient serves a connection whose client has proven who it is. renewed is closed once our
// certificates differ from those of its handshake.
func (s *Server) serveClient(ctx context.Context, conn *tunnel.Conn, renewed <-chan struct{}) stream.ConnectionResult {
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	c := &connection{server: s, peer: conn.RemoteAddr().String(), state: conn.ConnectionState(), cut: cut, retired: make(chan struct{})}
	var err error
	if c.client, err = certs.PeerIdentity(c.state); err != nil { // the handshake checked it
		conn.Abort()
		return stream.ConnectionFailed
	}
	if v := c.enter(); v != admitted {
		conn.Abort()
		c.refused(v)
		return stream.ConnectionRefused
	}
	defer c.leave()
	s.track(c)
	defer s.untrack(c)
	// All may have come about before the connection was on the list.
	_ = c.checkTrust() // Serve then ends at once
	c.checkListed()
	select {
	case <-renewed:
		c.retire()
	default:
	}

	err = tunnel.Serve(ctx, conn, c.serveOptions(ctx))
	if err != nil {
		s.deps.Log.V(1).Info("A connection ended", "client", c.client, "peer", c.peer, "error", stream.Text(err.Error()))
	}
	if !c.used.Load() {
		return stream.ConnectionUnused
	}
	return stream.ConnectionServed
}

func (c *connection) serveOptions(ctx context.Context) tunnel.ServeOptions {
	o := c.server.options
	idle := laneIdleTimeout
	if c.stranger {
		idle = o.HeaderTimeout
	}
	return tunnel.ServeOptions{
		HeaderTimeout: o.HeaderTimeout, IdleTimeout: idle, MaxStreams: o.MaxClientStreams + muxSlack,
		Handle: func(ctx context.Context, in tunnel.Incoming) {
			c.handle(ctx, in)
			c.checkListed()
		},
		BadHeader: func(via string, err error) { c.badHeader(ctx, via, err) },
		Draining:  c.retired,
	}
}

func (s *Server) track(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	if s.drainOn {
		c.retire()
	}
}

func (s *Server) untrack(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// followCertificates cuts connections whose client is no longer trusted, and retires those on which we
// showed what we no longer show: a stream that begins today must not end because of an anchor that was
// replaced long before. An anchor can also expire, which nothing tells: so clients are looked at now and then, too.
func (s *Server) followCertificates(ctx context.Context) {
	again := time.NewTicker(s.trustInterval)
	defer again.Stop()
	changed := s.deps.Certificates.Changed()
	for {
		s.cutUntrusted()
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		case <-changed:
			changed = s.deps.Certificates.Changed() // before anything goes by what is in force now
			s.mu.Lock()
			s.retireAll()
			s.mu.Unlock()
		}
	}
}

// retireAll asks for no more streams on the connections that there are. The caller holds s.mu.
func (s *Server) retireAll() {
	for c := range s.conns {
		c.retire()
	}
}

// connections are those whose client is known.
func (s *Server) connections() []*connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.conns))
}

func (s *Server) cutUntrusted() {
	var why error
	cut := 0
	for _, c := range s.connections() {
		if err := c.checkTrust(); err != nil {
			why = err
			cut++
		}
	}
	if cut > 0 {
		s.deps.Log.Info("Ended connections whose clients are no longer trusted", "connections", cut, "reason", stream.Text(why.Error()))
	}
}

// checkTrust cuts the connection if its client would be refused today. It does not wait.
func (c *connection) checkTrust() error {
	err := c.server.deps.Certificates.StillTrusted(c.state)
	if err != nil {
		c.cut(&cutError{stream.ReasonUntrusted})
	}
	return err
}
