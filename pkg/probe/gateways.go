package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/linkspan/linkspan/pkg/link"
)

// Address is what is known of one address of a gateway.
type Address struct {
	// Name is the DNS name that the address came from, or empty for a literal IP address.
	Name  string
	IP    netip.Addr
	State State
	// Latency is that of the last successful probe, or zero if there was none.
	Latency time.Duration
	// LastError is why the last probe failed, or empty if it succeeded.
	LastError string
}

// Gateways probes the gateways of all Links. Its methods may be called from any goroutine.
type Gateways struct {
	opts     Options
	log      logr.Logger
	metrics  *Metrics
	onChange func(link.Name)
	dial     Dialer
	resolver Resolver
	// tls is nil if probes make no handshake.
	tls func(server string) (*tls.Config, error)
	// wake has room for one: Start's goroutine is told that changed is not empty.
	wake chan struct{}

	mu sync.Mutex
	// spawn starts a loop that ends with Start's context or when its result is called. It is nil
	// before Start, and starts nothing after the end.
	spawn func(loop func(context.Context)) context.CancelFunc
	// waiting are the Links that came before Start.
	waiting map[link.Name]link.Link
	running map[link.Name]*gateway
	changed map[link.Name]struct{}
}

// Option replaces a part of Gateways that talks to the network.
type Option func(*Gateways)

// WithDialer replaces the dialer.
func WithDialer(dial Dialer) Option { return func(g *Gateways) { g.dial = dial } }

// WithResolver replaces the resolver.
func WithResolver(resolver Resolver) Option { return func(g *Gateways) { g.resolver = resolver } }

// WithTLS has each probe of a gateway that has an identity also make a TLS handshake with the port for
// traffic, on a connection of its own: the gateway must prove exactly this identity and agree on the
// transport protocol (GW-10). An address is alive if the HTTP answer is good and the handshake, too,
// both within the probe's timeout. No header follows the handshake, which a gateway takes for a health
// check.
//
// config gives the configuration for a server: the anchors to trust and the certificate to present.
// Name, protocol and the lowest version are set by the probe, and sessions are not resumed. It is
// called for each probe, from many goroutines, and must not wait for anything. It must give an error
// while our own certificate is of no use, such as after its end: that leaves all verdicts as they are,
// as it says nothing about a gateway, and is one of the Problems. A certificate that it does give and
// that a gateway refuses is a failure of the gateway's address.
func WithTLS(config func(server string) (*tls.Config, error)) Option {
	return func(g *Gateways) { g.tls = config }
}

// NewGateways makes Gateways that probe nothing before Start. Zero fields of opts get their defaults.
// onChange is told of each Link of which a verdict or the set of addresses changed, a name was first
// resolved, or a name or the making of handshakes began or ceased to fail; it asks Addresses for the rest.
func NewGateways(opts Options, log logr.Logger, m *Metrics, onChange func(link.Name), options ...Option) *Gateways {
	opts.Default()
	// No keep-alives: a probe's connection does not live long enough for them.
	dialer := net.Dialer{KeepAlive: -1}
	g := &Gateways{
		opts:     opts,
		log:      log,
		metrics:  m,
		onChange: onChange,
		dial:     dialer.DialContext,
		resolver: net.DefaultResolver,
		wake:     make(chan struct{}, 1),
		waiting:  map[link.Name]link.Link{},
		running:  map[link.Name]*gateway{},
		changed:  map[link.Name]struct{}{},
	}
	for _, option := range options {
		option(g)
	}
	return g
}

// Start probes until ctx ends, and returns when all probes have ended. It can be called once.
func (g *Gateways) Start(ctx context.Context) error {
	var loops sync.WaitGroup
	err := g.begin(func(loop func(context.Context)) context.CancelFunc {
		own, cancel := context.WithCancel(ctx)
		loops.Go(func() {
			defer cancel()
			loop(own)
		})
		return cancel
	})
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			g.end()
			loops.Wait()
			return nil
		case <-g.wake:
			g.announce()
		}
	}
}

func (g *Gateways) begin(spawn func(func(context.Context)) context.CancelFunc) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.spawn != nil {
		return errors.New("probing of gateways was started before: start it once")
	}
	g.spawn = spawn
	for _, l := range g.waiting {
		g.set(l)
	}
	g.waiting = nil
	return nil
}

// end keeps Set from starting loops that Start would not wait for.
func (g *Gateways) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.spawn = func(func(context.Context)) context.CancelFunc { return func() {} }
}

// announce calls onChange for each Link that changed, and logs problems that are new.
func (g *Gateways) announce() {
	g.mu.Lock()
	names := slices.Sorted(maps.Keys(g.changed))
	clear(g.changed)
	g.mu.Unlock()

	for _, n := range names {
		if problem, news := g.unreported(n); news {
			g.log.Info("Gateway addresses have changed problems", "link", n, "problems", problem)
		}
		g.onChange(n)
	}
}

func (g *Gateways) unreported(n link.Name) (problem string, news bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gw, ok := g.running[n]
	if !ok {
		return "", false
	}
	if err := errors.Join(gw.problems(g.opts.MaxAddresses)...); err != nil {
		problem = err.Error()
	}
	news = gw.reported != problem
	gw.reported = problem
	return problem, news
}

// Set starts the probing of a Link's gateway, or makes it follow the Link. It does nothing if nothing
// that matters to probing has changed. Before Start the Link is remembered.
func (g *Gateways) Set(l link.Link) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.spawn == nil {
		g.waiting[l.Name] = l
		return
	}
	g.set(l)
}

// Remove ends the probing of a Link's gateway and forgets its state and metrics. onChange is not
// called for it any more, but for a call that has begun.
func (g *Gateways) Remove(n link.Name) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.waiting, n)
	if gw, ok := g.running[n]; ok {
		g.drop(gw)
	}
}

// Addresses gives the addresses of a Link's gateway, sorted by IP. resolved is false until every name
// of the gateway was resolved or failed once, and for a Link that is not known.
func (g *Gateways) Addresses(n link.Name) (addrs []Address, resolved bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gw, ok := g.running[n]
	if !ok {
		return nil, false
	}
	return gw.addresses(), gw.resolved()
}

// Problems says what keeps addresses from being probed at all: names that do not resolve, each an
// *Error, more addresses than Options.MaxAddresses, and an error of WithTLS's function.
func (g *Gateways) Problems(n link.Name) []error {
	g.mu.Lock()
	defer g.mu.Unlock()
	gw, ok := g.running[n]
	if !ok {
		return nil
	}
	return gw.problems(g.opts.MaxAddresses)
}
