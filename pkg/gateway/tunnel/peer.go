package tunnel

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// peer is one address of a gateway.
type peer struct {
	pool *Pool
	key  peerKey
	// failedAt is when connecting last failed, in nanoseconds since 1970; 0 if it did not.
	failedAt atomic.Int64
	// used is when a stream was last wanted; Pool.mu guards it.
	used time.Time

	mu sync.Mutex
	// idle are the lanes without a stream, the one used last at the end. lanes counts all of them.
	idle  []*lane
	lanes int
	// active are the connections that carry one stream now.
	active map[*Conn]struct{}
	// sessions carry streams together; attempts are those being made.
	sessions []*session
	attempts []*attempt
	closed   bool
}

// lane is a connection that carries one stream after the other, as its client sees it.
type lane struct {
	conn       *Conn
	generation uint64
	since      time.Time // when it became idle
}

// open opens a stream: on a lane that is idle, on a new one while there may be more, else among others.
func (p *peer) open(ctx context.Context, head []byte) (Stream, error) {
	for l := p.takeIdle(); l != nil; l = p.takeIdle() {
		if stream, err := p.begin(l, head); err == nil {
			return stream, nil
		}
		// It ended while it was idle, which says nothing about the address.
	}
	if p.reserveLane() {
		return p.openLane(ctx, head)
	}
	return p.openShared(ctx, head)
}

// takeIdle is the lane that was used last, so that those that are not needed can end.
func (p *peer) takeIdle() *lane {
	generation := p.pool.generation.Load()
	for {
		p.mu.Lock()
		if len(p.idle) == 0 {
			p.mu.Unlock()
			return nil
		}
		l := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		p.mu.Unlock()
		if l.generation == generation && quiet(l.conn.raw.Conn) {
			return l
		}
		p.drop(l)
	}
}

// drop ends a lane that is on no list.
func (p *peer) drop(l *lane) {
	_ = l.conn.Close() // nothing is on it
	p.forgetLane()
}

func (p *peer) reserveLane() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lanes >= p.pool.options.Lanes {
		return false
	}
	p.lanes++
	return true
}

func (p *peer) forgetLane() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lanes--
}

// begin starts a stream on a lane, and takes care of the lane when that fails.
func (p *peer) begin(l *lane, head []byte) (Stream, error) {
	p.activate(l.conn, l.generation)
	stream := newLaneStream(l.conn, func(reusable bool) {
		p.deactivate(l.conn)
		p.giveBack(l, reusable)
	})
	if _, err := l.conn.Write(head); err != nil {
		l.conn.lastWords()
		_ = stream.Close() // the error of the write is the one to tell
		return nil, err
	}
	return stream, nil
}

// giveBack takes a lane whose stream is over.
func (p *peer) giveBack(l *lane, reusable bool) {
	if !reusable || l.generation != p.pool.generation.Load() {
		p.drop(l)
		return
	}
	l.since = p.pool.deps.Now()
	p.mu.Lock()
	p.idle = append(p.idle, l)
	p.mu.Unlock()
	if l.generation != p.pool.generation.Load() {
		p.sweep(time.Time{}) // the pool was renewed or closed meanwhile
	}
}

func (p *peer) openLane(ctx context.Context, head []byte) (Stream, error) {
	generation := p.pool.generation.Load()
	conn, err := p.dial(ctx, ALPNLane)
	if err != nil {
		p.forgetLane()
		return nil, err
	}
	if conn.ConnectionState().NegotiatedProtocol != ALPNLane {
		p.forgetLane()
		return p.alone(conn, generation, head)
	}
	stream, err := p.begin(&lane{conn: conn, generation: generation}, head)
	if err != nil {
		return nil, p.connectError(err)
	}
	return stream, nil
}

// alone is a stream on a connection of its own: Linkerd's wire.
func (p *peer) alone(conn *Conn, generation uint64, head []byte) (Stream, error) {
	p.activate(conn, generation)
	stream := &loneStream{Conn: conn, done: func() { p.deactivate(conn) }}
	if _, err := conn.Write(head); err != nil {
		conn.lastWords()
		_ = stream.Close() // the error of the write is the one to tell
		return nil, p.connectError(err)
	}
	return stream, nil
}

// activate lists a connection that begins to carry a stream. A renewal while it was made has missed it.
func (p *peer) activate(conn *Conn, generation uint64) {
	p.mu.Lock()
	if p.active == nil {
		p.active = map[*Conn]struct{}{}
	}
	p.active[conn] = struct{}{}
	p.mu.Unlock()
	if generation != p.pool.generation.Load() {
		p.cutUntrusted()
	}
}

func (p *peer) deactivate(conn *Conn) {
	p.tellAlert(conn)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.active, conn)
}

// tellAlert is for a connection that is over. One that the gateway ended with an alert is a handshake that failed, as far
// as we are concerned: the address is tried last for a while.
func (p *peer) tellAlert(conn *Conn) {
	alert := conn.alert.Load()
	if alert == nil {
		return
	}
	p.failedAt.Store(p.pool.deps.Now().UnixNano())
	p.pool.deps.Dialed(&DialError{Address: p.key.address.String(), Step: StepTLS, Err: alert})
}

// cutUntrusted aborts the streams whose gateway would be refused today.
func (p *peer) cutUntrusted() {
	if p.pool.deps.Trusted == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.active {
		if p.pool.deps.Trusted(conn.ConnectionState()) != nil {
			conn.Abort() // it does not wait for anybody
		}
	}
}

// sweep closes what has been idle since a time, what has ended, and what was made under old certificates.
func (p *peer) sweep(idleSince time.Time) {
	generation, now := p.pool.generation.Load(), p.pool.deps.Now()
	p.mu.Lock()
	var gone []*lane
	p.idle = slices.DeleteFunc(p.idle, func(l *lane) bool {
		keep := l.generation == generation && l.since.After(idleSince) && quiet(l.conn.raw.Conn)
		if !keep {
			gone = append(gone, l)
		}
		return !keep
	})
	parting, ended := p.sortOut(generation, idleSince, now)
	p.mu.Unlock()
	for _, l := range gone {
		p.drop(l)
	}
	for _, s := range parting {
		s.part()
	}
	for _, s := range ended {
		p.tellAlert(s.conn)
		s.close()
	}
}

// sortOut finds the sessions to ask to end, and takes those out that have ended; the caller holds p.mu.
func (p *peer) sortOut(generation uint64, idleSince, now time.Time) (parting, ended []*session) {
	p.sessions = slices.DeleteFunc(p.sessions, func(s *session) bool {
		asked := !s.parting.IsZero()
		switch {
		case s.mux.IsClosed(), p.untrusted(s, generation), asked && now.Sub(s.parting) > partingTime:
			ended = append(ended, s)
			return true
		case !asked && s.streams == 0 && (!s.usable(generation) || !s.since.After(idleSince)):
			s.parting = now
			s.retired.Store(true)
			parting = append(parting, s)
		}
		return false
	})
	return parting, ended
}

// untrusted says whether the other end of a session would be refused today.
func (p *peer) untrusted(s *session, generation uint64) bool {
	return p.pool.deps.Trusted != nil && s.generation != generation &&
		p.pool.deps.Trusted(s.conn.ConnectionState()) != nil
}

func (p *peer) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lanes == 0 && len(p.sessions) == 0 && len(p.attempts) == 0 && len(p.active) == 0
}

// close ends everything that has no owner.
func (p *peer) close() {
	p.mu.Lock()
	p.closed = true
	idle, sessions := p.idle, p.sessions
	p.idle, p.sessions = nil, nil
	var parting []*session
	for _, s := range sessions {
		if s.streams == 0 {
			parting = append(parting, s)
		}
	}
	p.mu.Unlock()
	for _, l := range idle {
		p.drop(l)
	}
	partAll(parting)
	for _, s := range sessions {
		s.close()
	}
}

// partAll gives sessions without streams a moment to end well.
func partAll(sessions []*session) {
	for _, s := range sessions {
		s.part()
	}
	moment := time.After(closeTime)
	for _, s := range sessions {
		select {
		case <-s.mux.CloseChan():
		case <-moment:
			return
		}
	}
}
