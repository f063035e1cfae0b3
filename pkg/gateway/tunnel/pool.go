package tunnel

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// Options of a Pool.
type Options struct {
	// Lanes is how many lanes one address of a gateway may have.
	Lanes int
	// Sessions is how many connections carry the streams for which there is no lane; at least 1.
	Sessions int
	// ConnectTimeout is for connecting to one address, with the TLS handshake.
	ConnectTimeout time.Duration
	// IdleTimeout is how long a lane or session without streams is kept.
	IdleTimeout time.Duration
}

// Defaults of Options.
const (
	DefaultLanes          = 64
	DefaultSessions       = 2
	DefaultConnectTimeout = 3 * time.Second
	DefaultIdleTimeout    = time.Minute
)

// Default fills in what is zero.
func (o *Options) Default() {
	o.Lanes = cmp.Or(o.Lanes, DefaultLanes)
	o.Sessions = max(cmp.Or(o.Sessions, DefaultSessions), 1)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, DefaultConnectTimeout)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, DefaultIdleTimeout)
}

// Gateway is where a stream goes.
type Gateway struct {
	// Addresses are those to try, all equal.
	Addresses []netip.AddrPort
	// Identity is what the gateway must prove.
	Identity string
}

// Dependencies are what a Pool works with.
type Dependencies struct {
	// TLS is the configuration for a gateway that must prove an identity.
	TLS func(identity string, alpn ...string) (*tls.Config, error)
	// Trusted says whether an open connection's certificates would still be accepted.
	Trusted func(tls.ConnectionState) error
	// Dial opens a connection; a net.Dialer's when nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Dialed is told of each attempt to connect, and again of one that the gateway refused only after the handshake; may
	// be nil.
	Dialed func(err *DialError)
	// Opened is told of each TCP connection to a gateway, before its handshake. What it returns is called once the
	// connection is closed, with whether there was a handshake. May be nil.
	Opened func() (closed func(shaken bool))
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Pool keeps the connections of an egress to its gateways.
type Pool struct {
	options Options
	deps    Dependencies

	// turn spreads streams over the addresses of a gateway.
	turn atomic.Uint32
	// generation counts changes of our certificates: what was made under an older one takes no new streams.
	generation atomic.Uint64

	mu     sync.Mutex
	peers  map[peerKey]*peer
	closed bool
}

type peerKey struct {
	address  netip.AddrPort
	identity string
}

// NewPool makes a pool; Run keeps it tidy.
func NewPool(o Options, d Dependencies) *Pool {
	o.Default()
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Dial == nil {
		d.Dial = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAliveInterval, Interval: keepAliveInterval, Count: 3}}).DialContext
	}
	if d.Dialed == nil {
		d.Dialed = func(*DialError) {}
	}
	if d.Opened == nil {
		d.Opened = func() func(bool) { return func(bool) {} }
	}
	return &Pool{options: o, deps: d, peers: map[peerKey]*peer{}}
}

// shunned is for how long an address that failed is tried last.
const shunned = 5 * time.Second

// ErrNoAddress means that a gateway has no address to try.
var ErrNoAddress = errors.New("the gateway has no address")

// ErrClosed means that the pool is no longer in use.
var ErrClosed = errors.New("the pool is closed")

// An address often stands for several pods, and whoever spreads connections over them may think for a moment of one that is
// gone. So a gateway all of whose addresses were turned down is tried again: tries times in all, with a pause that begins with
// firstPause and grows fourfold.
const (
	tries      = 3
	firstPause = 10 * time.Millisecond
)

// Open opens a stream to one of the gateway's addresses, with its header written. An address that cannot be
// connected to is followed by the next one, and where the network turned all of them down at once, they are tried again, twice
// at most. Once there is a connection there is no second try. The owner of the
// stream must call its Close. Errors are *DialError, ErrNoAddress, ErrClosed, of the header, or of ctx.
func (p *Pool) Open(ctx context.Context, gw Gateway, h wire.Header) (Stream, error) {
	head, err := h.Append(nil)
	if err != nil {
		return nil, fmt.Errorf("the stream's header: %w", err)
	}
	for try, pause := 1, firstPause; ; try, pause = try+1, 4*pause {
		stream, turnedDown, err := p.openAny(ctx, gw, head)
		if err == nil || try == tries || !turnedDown {
			return stream, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// openAny tries each address once. Beside an error it says whether each was turned down.
func (p *Pool) openAny(ctx context.Context, gw Gateway, head []byte) (Stream, bool, error) {
	last, turnedDown := error(ErrNoAddress), len(gw.Addresses) > 0
	for _, address := range p.order(gw) {
		peer, err := p.peer(peerKey{address, gw.Identity})
		if err != nil {
			return nil, false, err
		}
		if peer.failedAt.Load() != 0 {
			peer.failedAt.Store(p.deps.Now().UnixNano()) // one stream finds out whether it is back, the others go elsewhere
		}
		stream, err := peer.open(ctx, head)
		if err == nil {
			peer.failedAt.Store(0)
			return stream, false, nil
		}
		last = err
		if ctx.Err() != nil {
			return nil, false, err // it says nothing about the address
		}
		dial, ok := errors.AsType[*DialError](err)
		turnedDown = turnedDown && ok && dial.turnedDown
		peer.failedAt.Store(p.deps.Now().UnixNano())
	}
	return nil, turnedDown, last
}

// order begins with another address each time, and leaves those that failed lately for the end.
func (p *Pool) order(gw Gateway) []netip.AddrPort {
	n := len(gw.Addresses)
	if n < 2 {
		return gw.Addresses
	}
	first := int(p.turn.Add(1)) % n
	turned := slices.Concat(gw.Addresses[first:], gw.Addresses[:first])
	limit := p.deps.Now().Add(-shunned).UnixNano()
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.SortStableFunc(turned, func(a, b netip.AddrPort) int {
		return cmp.Compare(p.failed(a, gw.Identity, limit), p.failed(b, gw.Identity, limit))
	})
	return turned
}

// failed is 1 for an address that failed since limit; the caller holds p.mu.
func (p *Pool) failed(address netip.AddrPort, identity string, limit int64) int {
	if peer := p.peers[peerKey{address, identity}]; peer != nil && peer.failedAt.Load() > limit {
		return 1
	}
	return 0
}

func (p *Pool) peer(key peerKey) (*peer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	have := p.peers[key]
	if have == nil {
		have = &peer{pool: p, key: key}
		p.peers[key] = have
	}
	have.used = p.deps.Now()
	return have, nil
}

// Renew ends what was made under certificates or anchors that are no longer in force: idle
// connections at once, others with their streams, and those whose other end is no longer trusted now.
func (p *Pool) Renew() {
	p.generation.Add(1)
	p.each(func(peer *peer) {
		peer.sweep(time.Time{})
		peer.cutUntrusted()
	})
}

// tidyInterval is how often idle connections are looked at.
const tidyInterval = time.Second

// Run closes what is idle or has ended until ctx ends, and then every connection without an owner. Streams that are
// open then on a lane, or on a connection of their own, are their owner's to end; those of sessions end.
func (p *Pool) Run(ctx context.Context) {
	tick := time.NewTicker(tidyInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.close()
			return
		case <-tick.C:
			p.tidy()
		}
	}
}

func (p *Pool) tidy() {
	idleSince := p.deps.Now().Add(-p.options.IdleTimeout)
	p.each(func(peer *peer) { peer.sweep(idleSince) })
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, peer := range p.peers {
		if peer.used.Before(idleSince) && peer.empty() {
			delete(p.peers, key)
		}
	}
}

func (p *Pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.generation.Add(1)
	var peers sync.WaitGroup
	defer peers.Wait()
	p.each(func(peer *peer) { peers.Go(peer.close) }) // one that is stuck keeps no other waiting
}

func (p *Pool) each(do func(*peer)) {
	p.mu.Lock()
	peers := make([]*peer, 0, len(p.peers))
	for _, peer := range p.peers {
		peers = append(peers, peer)
	}
	p.mu.Unlock()
	for _, peer := range peers {
		do(peer)
	}
}
