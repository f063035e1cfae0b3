package egress

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"

	"github.com/linkspan/linkspan/pkg/gateway/pipe"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// Opener opens streams to gateways, as tunnel.Pool does.
type Opener interface {
	Open(ctx context.Context, gateway tunnel.Gateway, header wire.Header) (tunnel.Stream, error)
}

// Recorder is told of every client's connection, as stream.Recorder is.
type Recorder interface {
	Opened(side stream.Side, via string)
	Bytes(side stream.Side, direction stream.Direction, n int64)
	Closed(rec stream.Record)
}

// Server is the egress. New makes one, and Run runs it.
type Server struct {
	log      logr.Logger
	opts     Options
	opener   Opener
	recorder Recorder
	metrics  *Metrics
	now      func() time.Time

	table   *Table
	watch   func(context.Context)
	streams *streams
	pipes   pipe.Pipes
	ports   *ports

	// changed holds a token while there is something to follow.
	changed chan struct{}
	// drain is closed to stop listening, drained once that is done and no stream is open.
	drain, drained chan struct{}
	draining       atomic.Bool
	// following says that all was read and the ports were opened.
	following atomic.Bool
	// told are the conflicts and faults in the log already.
	told map[any]struct{}
}

// New makes an egress that reads mirrors and Links from the API server of config, and takes clients to
// gateways by opener. opts are validated. Its errors are of opts and config.
//
// It needs to list and watch services and endpointslices.discovery.k8s.io in all namespaces, and
// links.multicluster.linkerd.io in opts.Namespace.
func New(log logr.Logger, opts Options, config *rest.Config, opener Opener, recorder Recorder, metrics *Metrics) (*Server, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	s := newServer(log, opts, opener, recorder, metrics)
	f, err := newFollower(log, config, opts.Namespace, s.table, metrics)
	if err != nil {
		return nil, err
	}
	s.watch = f.run
	return s, nil
}

// newServer makes one whose Table somebody else feeds.
func newServer(log logr.Logger, opts Options, opener Opener, recorder Recorder, metrics *Metrics) *Server {
	s := &Server{
		log: log, opts: opts, opener: opener, recorder: recorder, metrics: metrics, now: time.Now,
		streams: newStreams(opts.MaxConnections, opts.MaxClientConnections), changed: make(chan struct{}, 1),
		drain: make(chan struct{}), drained: make(chan struct{}), told: map[any]struct{}{},
		watch: func(ctx context.Context) { <-ctx.Done() },
	}
	s.table = NewTable(s.wake, opts.Loopback)
	s.ports = newPorts(log, metrics, opts.BindAddress, s.accept, s.table.Serves)
	return s
}

func (s *Server) wake() {
	select {
	case s.changed <- struct{}{}:
	default: // it looks at everything anyway
	}
}

// Run serves until ctx ends, then cuts the streams that are open, and returns when nothing of it runs
// any more. It must be called once. It gives no error: what does not work is retried, logged and counted.
func (s *Server) Run(ctx context.Context) error {
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.watch(ctx)
	}()
	s.follow(ctx)
	s.ports.close()
	s.streams.cut(ReasonStopped, func(Target) bool { return false })
	s.streams.running.Wait()
	s.end()
	<-watched
	return nil
}

// follow keeps the ports and the streams to what the Table says.
func (s *Server) follow(ctx context.Context) {
	drain := s.drain
	var idle <-chan struct{}
	for {
		began := time.Now()
		again := s.catchUp(ctx)
		pause(ctx, min(4*time.Since(began), longestPause))
		var retry <-chan time.Time
		if again > 0 {
			retry = time.After(again)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		case <-retry:
		case <-drain:
			drain = nil
			s.ports.close()
			idle = s.streams.whenIdle()
		case <-idle:
			idle = nil
			s.end()
		}
	}
}

// longestPause is how long a change waits at most after one before it.
const longestPause = 100 * time.Millisecond

// pause keeps a storm of changes, as when a thousand mirrors are made, from taking more than a fifth of a
// processor: all that come during a pause are followed as one.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// end says that nothing is left. Only the goroutine of Run calls it.
func (s *Server) end() {
	select {
	case <-s.drained:
	default:
		close(s.drained)
	}
}

// catchUp does what follows from the Table, and says when to come again if nothing changes.
func (s *Server) catchUp(ctx context.Context) (again time.Duration) {
	if !s.table.Synced() {
		return 0 // of what has not been read yet nothing follows
	}
	if n := s.streams.cut(ReasonWithdrawn, s.table.Serves); n > 0 {
		s.log.Info("Cut streams whose mirrors are gone", "streams", n)
	}
	if s.draining.Load() {
		return 0
	}
	routes := s.table.Routes()
	s.tell(routes)
	again = s.ports.set(ctx, routes.ByPort)
	s.following.Store(true)
	return again
}

// tell logs each conflict and each fault once, for as long as it lasts.
func (s *Server) tell(routes Routes) {
	s.metrics.setRoutes(routes)
	told := make(map[any]struct{}, len(routes.Conflicts)+len(routes.Faults))
	for _, c := range routes.Conflicts {
		if told[c] = struct{}{}; !s.wasTold(c) {
			s.log.Info("A mirror claims a port that is another's, or that several claim, and does not get it", "port", c.Port,
				"mirror", c.Mirror.String(), "holder", c.Holder.String())
		}
	}
	for _, f := range routes.Faults {
		if told[f] = struct{}{}; !s.wasTold(f) {
			s.log.Info("Part of an object cannot be used", "object", f.Object, "cause", f.Text)
		}
	}
	s.told = told
}

func (s *Server) wasTold(what any) bool {
	_, ok := s.told[what]
	return ok
}

// Reasons of Ready.
var (
	errDraining     = errors.New("draining: connections go elsewhere")
	errNotFollowing = errors.New("the mirrors and Links have not been read yet")
)

// Ready says what is missing before clients can be served, nil for nothing. A port that cannot be
// opened is not missed: the others serve, and a metric tells.
func (s *Server) Ready() error {
	switch {
	case s.draining.Load():
		return errDraining
	case !s.following.Load():
		return errNotFollowing
	default:
		return nil
	}
}

// Drain stops listening for good, soon after it returns; open streams go on. The channel is closed once
// nothing is listened on and no stream is open, or Run has ended.
func (s *Server) Drain() <-chan struct{} {
	if !s.draining.Swap(true) {
		close(s.drain)
	}
	return s.drained
}
