package tunnel

import (
	"context"
	"slices"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// attempt is a session that is being made. Streams for which there is no other wait for it: where
// thousands begin at once, as after a restart, a handshake for each would be more than an ingress admits.
type attempt struct {
	// done is closed once it is over. The rest is set before.
	done chan struct{}
	// err is why the gateway cannot be reached; nil where another may try.
	err error
	// alone is set when the gateway knows Linkerd's wire only.
	alone bool
}

// openShared opens a stream on the session with the fewest, or on a new one while there may be more.
func (p *peer) openShared(ctx context.Context, head []byte) (Stream, error) {
	for {
		s, a, reserved := p.pickSession(p.pool.generation.Load())
		if reserved {
			return p.openSession(ctx, a, head)
		}
		if s != nil {
			stream, err := p.openOn(ctx, s, head)
			if err == nil {
				return stream, nil
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			continue // it takes no more
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if a.err != nil {
			return nil, a.err
		}
		if a.alone {
			return p.openAlone(ctx, head)
		}
	}
}

// pickSession takes a place on a session, or reserves that of a new one, or says which one to wait for.
func (p *peer) pickSession(generation uint64) (s *session, a *attempt, reserved bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	usable := 0
	for _, have := range p.sessions {
		if !have.usable(generation) {
			continue
		}
		usable++
		if s == nil || have.streams < s.streams {
			s = have
		}
	}
	switch {
	case usable+len(p.attempts) < p.pool.options.Sessions && (s == nil || s.streams > 0):
		a = &attempt{done: make(chan struct{})}
		p.attempts = append(p.attempts, a)
		return nil, a, true
	case s != nil:
		s.streams++
		return s, nil, false
	default:
		return nil, p.attempts[0], false
	}
}

// openOn opens a stream on a session where it has a place. A session that fails takes no more.
func (p *peer) openOn(ctx context.Context, s *session, head []byte) (Stream, error) {
	limited, cancel := context.WithTimeout(ctx, p.pool.options.ConnectTimeout)
	defer cancel()
	stream, err := s.open(limited, head, func() { p.leave(s) })
	if err != nil {
		if ctx.Err() == nil {
			s.retired.Store(true)
		}
		p.leave(s)
		return nil, err
	}
	return stream, nil
}

// leave gives a place on a session back.
func (p *peer) leave(s *session) {
	now := p.pool.deps.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	s.streams--
	s.since = now
}

// openSession makes a session and opens the first stream on it.
func (p *peer) openSession(ctx context.Context, a *attempt, head []byte) (Stream, error) {
	generation := p.pool.generation.Load()
	conn, err := p.dial(ctx, wire.ALPNMux)
	if err != nil {
		if ctx.Err() == nil {
			a.err = err
		}
		p.settle(a, nil)
		return nil, err
	}
	if conn.ConnectionState().NegotiatedProtocol != wire.ALPNMux {
		a.alone = true
		p.settle(a, nil)
		return p.alone(conn, generation, head)
	}
	s, err := newSession(conn, generation)
	if err != nil {
		conn.Abort()
		a.err = p.connectError(err)
		p.settle(a, nil)
		return nil, a.err
	}
	if !p.settle(a, s) {
		s.close()
		return nil, ErrClosed
	}
	if generation != p.pool.generation.Load() {
		p.sweep(time.Time{}) // the pool was renewed meanwhile
	}
	stream, err := p.openOn(ctx, s, head)
	if err != nil {
		return nil, p.connectError(err)
	}
	return stream, nil
}

// settle ends an attempt. Its session has a place taken for the first stream. It says whether the session
// can be used, which is not so once the pool is closed.
func (p *peer) settle(a *attempt, s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts = slices.DeleteFunc(p.attempts, func(have *attempt) bool { return have == a })
	usable := s != nil && !p.closed
	if usable {
		s.streams = 1
		p.sessions = append(p.sessions, s)
	} else if s != nil {
		a.err = ErrClosed
	}
	close(a.done)
	return usable
}

// openAlone opens a stream on a connection of its own.
func (p *peer) openAlone(ctx context.Context, head []byte) (Stream, error) {
	generation := p.pool.generation.Load()
	conn, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	return p.alone(conn, generation, head)
}
