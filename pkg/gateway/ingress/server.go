package ingress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/pkg/gateway/exports"
	"github.com/linkspan/linkspan/pkg/gateway/pipe"
	"github.com/linkspan/linkspan/pkg/gateway/policy"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// Certificates are what an ingress shows and whom it trusts; *certs.Store is one.
type Certificates interface {
	Server(alpn ...string) *tls.Config
	Identity() string
	StillTrusted(state tls.ConnectionState) error
	Changed() <-chan struct{}
}

// Dependencies are what a Server works with.
type Dependencies struct {
	Log          logr.Logger
	Certificates Certificates
	// Exports says what is exported. Whoever makes it calls ExportChanged.
	Exports *exports.Table
	// ClusterDomain is that of the names that clients ask for.
	ClusterDomain string
	Recorder      *stream.Recorder
	// Policy are the metrics of the gateway's own allow-list.
	Policy *policy.Metrics
	// Dial connects to an application; a net.Dialer's when nil. It gives TCP connections.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Server is an ingress.
type Server struct {
	options Options
	deps    Dependencies
	tls     *tls.Config
	policy  *policy.Policy
	judge   judge
	streams *openStreams
	pipes   pipe.Pipes

	trustInterval             time.Duration
	handshakes                handshakes
	connLimits, streamLimits  *limits
	strangers                 *limits // of connections, beside connLimits
	acceptErrors, turnedAways onceASecond
	// draining is closed when draining begins, drained when no connection is left after that.
	draining, drained chan struct{}

	mu       sync.Mutex
	listener net.Listener             // guarded by mu
	conns    map[*connection]struct{} // those whose client is known; guarded by mu
	// open counts connections from accept to end, and accepting says that there may be more; guarded by mu.
	open      int
	accepting bool
	drainOn   bool // guarded by mu
}

// trustInterval is between two looks at whom the certificates in force trust. It is cheap while anchors stay.
const trustInterval = time.Minute

// New makes an ingress. It fails when the allow-list cannot be read.
func New(o Options, d Dependencies) (*Server, error) {
	o.Default()
	if d.Dial == nil {
		d.Dial = (&net.Dialer{}).DialContext
	}
	s := &Server{
		options: o, deps: d, streams: newOpenStreams(),
		tls:           d.Certificates.Server(wire.ALPNMux, tunnel.ALPNLane, wire.ALPN),
		trustInterval: trustInterval,
		handshakes:    handshakes{most: o.MaxHandshakes, grace: handshakeGrace},
		connLimits:    newLimits(o.MaxConnections, o.MaxClientConnections),
		strangers:     newLimits(max(1, o.MaxConnections/strangersPart), o.MaxConnections),
		streamLimits:  newLimits(o.MaxStreams, o.MaxClientStreams),
		draining:      make(chan struct{}), drained: make(chan struct{}),
		conns: map[*connection]struct{}{},
	}
	s.policy = policy.New(d.Log, policy.Options{Clients: o.AllowClients, File: o.AllowFile}, d.Policy, s.policyChanged)
	s.judge = judge{allows: s.policy.Allows, exported: d.Exports, dryRun: o.DryRun}
	if err := s.policy.Load(); err != nil {
		return nil, err
	}
	return s, nil
}

// Listen opens the listener, so that a port that is in use is told before anything else starts.
func (s *Server) Listen(ctx context.Context) error {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // nobody here speaks it, and it costs each connection a layer
	listener, err := config.Listen(ctx, "tcp", s.options.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener = listener
	if s.drainOn {
		_ = listener.Close() // it is for nobody any more
	}
	return nil
}

// Addr is where it listens. Listen comes first.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listener.Addr()
}

// Run serves until ctx ends, which aborts everything, and returns nil when nothing is left. Listen comes first.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	listener := s.listener
	s.accepting = true
	s.mu.Unlock()
	defer context.AfterFunc(ctx, s.stopListening)()
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { s.policy.Run(ctx) })
	parts.Go(func() { s.followCertificates(ctx) })
	s.accept(ctx, listener, &parts)
	<-ctx.Done()
	return nil
}

// Ready says why it cannot serve, or nil. Certificates and exports answer for themselves.
func (s *Server) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.drainOn:
		return errors.New("draining")
	case s.listener == nil:
		return errors.New("not listening yet")
	default:
		return nil
	}
}

// Drain stops listening and asks clients for no more streams. The channel is closed once no connection
// is left.
func (s *Server) Drain() <-chan struct{} {
	s.mu.Lock()
	if !s.drainOn {
		s.drainOn = true
		close(s.draining)
		s.retireAll()
	}
	s.settle()
	s.mu.Unlock()
	s.stopListening()
	return s.drained
}

func (s *Server) stopListening() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		_ = s.listener.Close() // a second call says that it is closed already
	}
}

// pause is how long accepting waits after an error, such as too many open files, that time may mend.
const pause = 20 * time.Millisecond

// accept accepts until the listener is closed.
func (s *Server) accept(ctx context.Context, listener net.Listener, conns *sync.WaitGroup) {
	defer s.acceptedLast()
	for {
		raw, err := listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if left, ok := s.acceptErrors.allow(time.Now()); ok {
				s.deps.Log.Error(err, "Accepting connections failed", "timesBefore", left)
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			continue
		}
		if !s.arrived() {
			s.deps.Recorder.ConnectionTurnedAway(stream.Ingress)
			s.turnAway(raw)
			continue
		}
		conns.Go(func() {
			defer s.left()
			s.serve(ctx, raw)
		})
	}
}

// arrived counts a connection, unless there are as many as there may be.
func (s *Server) arrived() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= s.options.MaxConnections+s.options.MaxHandshakes {
		return false
	}
	s.open++
	return true
}

func (s *Server) left() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	s.settle()
}

// acceptedLast says that there will be no more connections.
func (s *Server) acceptedLast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepting = false
	s.settle()
}

// settle closes drained once nothing is left to wait for; mu is held.
func (s *Server) settle() {
	if !s.drainOn || s.accepting || s.open > 0 {
		return
	}
	select {
	case <-s.drained:
	default:
		close(s.drained)
	}
}

// turnAway refuses a connection before its handshake: who it is from is not known.
func (s *Server) turnAway(raw net.Conn) {
	reset(raw)
	s.deps.Recorder.HandshakeFailed(stream.Ingress, stream.ReasonFull)
	if left, ok := s.turnedAways.allow(time.Now()); ok {
		s.deps.Log.Info("A connection was refused: as many connections or handshakes as there may be are open",
			"peer", raw.RemoteAddr().String(), "reason", stream.ReasonFull, "suppressed", left)
	}
}

// reset ends a connection at once: who is turned away learns it by the next packet.
func reset(raw net.Conn) {
	if t, ok := raw.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // fails only when the connection is closed already
	}
	_ = raw.Close()
}

// ExportChanged judges the open streams of a Service again. It does not wait for any client.
func (s *Server) ExportChanged(namespace, name string) {
	service := types.NamespacedName{Namespace: namespace, Name: name}
	if cut := review(s.streams.of(service), s.judge); cut > 0 {
		s.deps.Log.Info("Cut open streams of a service, whose export has changed", "service", service.String(), "streams", cut)
	}
}

func (s *Server) policyChanged() {
	if cut := review(s.streams.all(), s.judge); cut > 0 {
		s.deps.Log.Info("Cut open streams that the new allow-list does not let in", "streams", cut)
	}
	s.partUnlisted()
}
