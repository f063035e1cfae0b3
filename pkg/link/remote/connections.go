package remote

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/pkg/link"
)

// maxConnecting bounds how many attempts run at once. It is high because an attempt at a dead target
// only waits: 100 Links of which half are black holes must not keep the other half waiting.
const maxConnecting = 64

// ErrNotConnected is returned when a target is asked something while it is not connected.
var ErrNotConnected = errors.New("the target is not connected")

// Events are told of what targets do; called without locks, from many goroutines.
type Events struct {
	// Link: the connection came, went or changed: everything of the Link is to be looked at again.
	Link func(link.Name)
	// Attempt: an attempt to connect ended, or the connection was lost; the Report may differ.
	Attempt func(link.Name)
	// Service: one exported service or its endpoints changed. initial is true for a first list.
	Service func(name link.Name, key ServiceKey, initial bool)
}

// Observation is what a target says of one service.
type Observation struct {
	// Synced is false when the target says nothing: not connected, or not with the Link's selectors.
	Synced bool
	// Service is nil when the target exports no such service.
	Service *corev1.Service
	Slices  []*discoveryv1.EndpointSlice
	// SeenDeleted is true when Service is nil because it was seen to go, not found missing from a list.
	SeenDeleted bool
}

// Connections owns the connection of every Link.
type Connections struct {
	log       logr.Logger
	userAgent string
	metrics   *Metrics
	events    Events
	// localUID reads the identity of the cluster that we run in.
	localUID func(context.Context) (types.UID, error)
	slots    chan struct{}

	mu       sync.RWMutex
	ctx      context.Context //nolint:containedctx // the life of the process, from Start; sessions outlive the calls that make them
	sessions map[link.Name]*session
	pending  map[link.Name]Target // set before Start
	recorded map[link.Name]Recorded
}

// NewConnections makes an owner without any connection. Nothing is connected before Start.
func NewConnections(log logr.Logger, userAgent string, m *Metrics, localUID func(context.Context) (types.UID, error), events Events) *Connections {
	return &Connections{
		log: log, userAgent: userAgent, metrics: m, localUID: localUID, events: events,
		slots: make(chan struct{}, maxConnecting), sessions: map[link.Name]*session{}, pending: map[link.Name]Target{},
	}
}

// Start implements manager.Runnable: it connects what was set so far and blocks until ctx ends, and
// then until every connection has stopped.
func (c *Connections) Start(ctx context.Context) error {
	c.mu.Lock()
	c.ctx = ctx
	for name, t := range c.pending {
		c.begin(name, t)
	}
	clear(c.pending)
	c.mu.Unlock()

	<-ctx.Done()
	c.mu.Lock()
	running := make([]*session, 0, len(c.sessions))
	for _, s := range c.sessions {
		running = append(running, s)
	}
	c.mu.Unlock()
	for _, s := range running {
		<-s.ended
	}
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: standbys connect too, so that they
// are warm when they take over.
func (c *Connections) NeedLeaderElection() bool { return false }

// Set says how to connect a Link. It returns at once; the session does the rest.
func (c *Connections) Set(t Target) {
	name := t.Link.Name
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s := c.sessions[name]; {
	case c.ctx == nil:
		c.pending[name] = t
	case s != nil:
		s.set(t)
	default:
		c.begin(name, t)
	}
}

// begin starts a session; the lock is held.
func (c *Connections) begin(name link.Name, t Target) {
	ctx, cancel := context.WithCancel(c.ctx)
	s := &session{owner: c, name: name, target: t, wake: make(chan struct{}, 1), end: cancel, ended: make(chan struct{})}
	c.sessions[name] = s
	go s.run(ctx)
	for other, rival := range c.sessions {
		// A younger Link may have reached the same cluster before this one was known.
		if other != name && t.KnownUID != "" && rival.identity() == t.KnownUID {
			rival.nudge()
		}
	}
}

// Remove ends a Link's connection and waits until nothing of it runs.
func (c *Connections) Remove(name link.Name) {
	c.mu.Lock()
	s := c.sessions[name]
	delete(c.sessions, name)
	delete(c.pending, name)
	delete(c.recorded, name)
	c.mu.Unlock()
	if s != nil {
		s.end()
		<-s.ended
		c.wakeRivals(name, "")
	}
	c.metrics.Forget(name)
}

// Report says how a Link's connection is doing; the zero Report before anything was tried.
func (c *Connections) Report(name link.Name) Report {
	s := c.session(name)
	if s == nil {
		return Report{}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.report
}

// Observe says what the target of l says of a service, from caches only.
func (c *Connections) Observe(l link.Link, key ServiceKey) (Observation, error) {
	conn := c.current(l)
	if conn == nil {
		return Observation{}, nil
	}
	svc := conn.service(key)
	if svc == nil {
		return Observation{Synced: true, SeenDeleted: conn.sawDeletion(key)}, nil
	}
	slices, err := conn.slicesOf(key)
	if err != nil {
		return Observation{}, err
	}
	return Observation{Synced: true, Service: svc, Slices: slices}, nil
}

// Keys lists the exported services that the target of l is known to have.
func (c *Connections) Keys(l link.Link) []ServiceKey {
	if conn := c.current(l); conn != nil {
		return conn.keys()
	}
	return nil
}

// ConfirmGone asks the target itself whether a service is gone or exported no more: the last word
// before a mirror is deleted. It talks to the network; ctx must have a deadline. Where the connection ends meanwhile, the error
// is ErrNotConnected as well.
func (c *Connections) ConfirmGone(ctx context.Context, l link.Link, key ServiceKey) (bool, error) {
	conn := c.current(l)
	if conn == nil {
		return false, ErrNotConnected
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(conn.life, cancel)()
	gone, err := conn.confirmGone(ctx, key)
	if err != nil && conn.life.Err() != nil {
		return false, ErrNotConnected // what ended the connection has the service looked at again
	}
	return gone, err
}

// current returns the Link's connection if it watches what the Link selects now.
func (c *Connections) current(l link.Link) *Connection {
	s := c.session(l.Name)
	if s == nil {
		return nil
	}
	conn := s.connection()
	if conn == nil || !sameSelectors(conn.target.Link, l) {
		return nil
	}
	return conn
}

func sameSelectors(a, b link.Link) bool {
	return a.Exported.String() == b.Exported.String() && a.RemoteDiscovery.String() == b.RemoteDiscovery.String()
}

func (c *Connections) session(name link.Name) *session {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.sessions[name]
}

// establish makes one attempt, within one of the slots.
func (c *Connections) establish(ctx context.Context, s *session, t Target) (*Connection, error) {
	attempt, cancel := s.attempt(ctx, t)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-attempt.Done():
		return nil, attempt.Err()
	}
	s.mu.RLock()
	t.KnownUID = cmp.Or(t.KnownUID, s.report.UID) // the status may not have been written yet
	s.mu.RUnlock()
	check := func(ctx context.Context, uid types.UID) error { return c.checkIdentity(ctx, t, uid) }
	changed := func(key ServiceKey, initial bool) { c.events.Service(s.name, key, initial) }
	return connect(attempt, ctx, t, c.userAgent, check, changed)
}

// attempted counts an attempt and tells of it.
func (c *Connections) attempted(name link.Name, f *Failure) {
	if s := c.session(name); s != nil {
		t := s.wanted()
		c.metrics.connection(name, t.Link.Cluster, s.connection() != nil, f)
		if f != nil {
			c.log.Info("Link is not connected", "link", name, "cluster", t.Link.Cluster, "reason", f.Reason, "error", f.Error())
		} else {
			c.log.Info("Link is connected", "link", name, "cluster", t.Link.Cluster)
		}
	}
	c.events.Attempt(name)
}
