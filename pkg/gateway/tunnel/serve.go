package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// Incoming is a stream that an ingress got.
type Incoming struct {
	Stream
	Header wire.Header
	refuse func(Code)
}

// Refuse ends the stream and says why, where the wire can say it.
func (i Incoming) Refuse(code Code) { i.refuse(code) }

// ServeOptions say how an ingress serves one connection.
type ServeOptions struct {
	// HeaderTimeout is for a header once its first byte has come; on Linkerd's wire, for all of it.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a lane or mux may wait for its next stream; for the first one it is HeaderTimeout. It
	// must be longer than that of the other end, which is the one to close.
	IdleTimeout time.Duration
	// MaxStreams is how many streams a mux may carry at a time.
	MaxStreams int
	// Handle serves one stream and closes it. It is called by several goroutines.
	Handle func(context.Context, Incoming)
	// BadHeader is told of streams without a valid header.
	BadHeader func(via string, err error)
	// Draining is closed when no more streams are wanted.
	Draining <-chan struct{}
}

// askAgain is how often an ingress that drains repeats on a lane that it wants no more streams.
const askAgain = 2 * time.Second

// Serve serves the streams of a connection until it ends. The end of ctx aborts it. It closes conn.
func Serve(ctx context.Context, conn *Conn, o ServeOptions) error {
	defer context.AfterFunc(ctx, conn.Abort)()
	switch proto := conn.ConnectionState().NegotiatedProtocol; proto {
	case wire.ALPN:
		return serveOne(ctx, conn, o)
	case ALPNLane:
		return serveLane(ctx, conn, o)
	case wire.ALPNMux:
		return serveMux(ctx, conn, o)
	default:
		conn.Abort()
		return fmt.Errorf("tunnel: nothing to serve for ALPN %q", proto)
	}
}

// serveOne serves Linkerd's wire.
func serveOne(ctx context.Context, conn *Conn, o ServeOptions) error {
	header, err := readHeader(conn, o.HeaderTimeout, 0)
	if err != nil && !isFault(err) {
		_ = conn.Close() // a probe: a handshake and no more
		return nil
	}
	if err != nil {
		o.BadHeader(ViaTLS, err)
		conn.Abort()
		return err
	}
	stream := &loneStream{Conn: conn, framed: header.Protocol == wire.HTTP2}
	o.Handle(ctx, Incoming{Stream: stream, Header: header, refuse: func(Code) { conn.Abort() }})
	_ = stream.Close() // what is left to close has no outcome for anybody
	return nil
}

type deadlineReader interface {
	io.Reader
	SetReadDeadline(t time.Time) error
}

// errIdle means that not even the first byte of a header came in time.
var errIdle = errors.New("no header came in time")

// isFault says whether an error of readHeader is the other end's fault. A connection or stream that ends, in
// whatever way, before the first byte of a header was not needed.
func isFault(err error) bool {
	_, invalid := errors.AsType[*wire.Error](err)
	return invalid || errors.Is(err, errIdle)
}

// readHeader waits up to first for the header's first byte and then up to rest for the rest of it; without rest,
// first is for all of it. It reads no byte behind it. The error is a *wire.Error once a byte has come,
// errIdle when none came in time, and else that of the connection.
func readHeader(r deadlineReader, first, rest time.Duration) (wire.Header, error) {
	var start [1]byte
	if err := r.SetReadDeadline(time.Now().Add(first)); err != nil {
		return wire.Header{}, err
	}
	if _, err := io.ReadFull(r, start[:]); err != nil {
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() && !errors.Is(err, syscall.ETIMEDOUT) {
			err = fmt.Errorf("%w: %w", errIdle, err)
		}
		return wire.Header{}, err
	}
	if rest > 0 {
		if err := r.SetReadDeadline(time.Now().Add(rest)); err != nil {
			return wire.Header{}, err
		}
	}
	header, err := wire.ReadHeader(io.MultiReader(bytes.NewReader(start[:]), r))
	if err != nil {
		return wire.Header{}, err
	}
	return header, r.SetReadDeadline(noDeadline)
}

// serveLane serves one stream after the other.
func serveLane(ctx context.Context, conn *Conn, o ServeOptions) error {
	// Repeated, because the other end may have taken it from the kernel together with the end of a stream,
	// and see it only when it reads again.
	defer whenDraining(o.Draining, askAgain, func() { _ = writeControl(conn, chunkGoAway) })()
	for wait := o.HeaderTimeout; ; wait = o.IdleTimeout {
		header, err := readHeader(conn, wait, o.HeaderTimeout)
		if err != nil && (!isFault(err) || errors.Is(err, errIdle)) {
			_ = conn.Close() // its other end needs it no longer
			return nil
		}
		reusable := false
		stream := newLaneStream(conn, func(again bool) { reusable = again })
		if err != nil {
			o.BadHeader(ViaLane, err)
			stream.refuse(CodeBadHeader)
			return err
		}
		o.Handle(ctx, Incoming{Stream: stream, Header: header, refuse: stream.refuse})
		_ = stream.Close() // always nil
		if !reusable {
			conn.Abort()
			return nil
		}
	}
}

// lingerTime and lingerBytes are how long, and for how much, a refused lane is read on, so that the reset that
// unread bytes would cause does not overtake the refusal.
const (
	lingerTime  = time.Second
	lingerBytes = 256 << 10
)

func (s *laneStream) refuse(code Code) {
	s.mu.Lock()
	s.cut = true // whatever else happens, no other stream follows
	s.mu.Unlock()
	if err := s.sayRefused(code); err == nil {
		_, _ = io.CopyN(io.Discard, s.Conn, lingerBytes)
	}
	_ = s.Close() // always nil
}

// sayRefused sends the code and sees to it that nothing waits for the other end for long.
func (s *laneStream) sayRefused(code Code) error {
	if err := s.SetDeadline(time.Now().Add(lingerTime)); err != nil {
		return err
	}
	if err := s.control(chunkRefused | uint32(code)&codeMask); err != nil {
		return err
	}
	return s.Conn.Conn.CloseWrite() // that of crypto/tls, which does not wait either
}

// whenDraining calls tell once draining begins, and every now and then from then on. The returned function ends
// that, and waits for a call that is under way.
func whenDraining(draining <-chan struct{}, every time.Duration, tell func()) (stop func()) {
	stopped := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-draining:
		case <-stopped:
			return
		}
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			tell()
			select {
			case <-tick.C:
			case <-stopped:
				return
			}
		}
	})
	return func() {
		close(stopped)
		wg.Wait()
	}
}
