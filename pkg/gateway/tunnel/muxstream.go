package tunnel

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/libp2p/go-yamux/v5"

	"github.com/linkspan/linkspan/pkg/gateway/socket"
)

// muxStream is one stream of a session, at either end.
type muxStream struct {
	*yamux.Stream
	resets *resets
	// done is called once, by Close; it may be nil.
	done func()

	readEnded, writeEnded, cut, over atomic.Bool

	// reads and writes are held by Read and Write, so that Gone can set a deadline that is its own.
	reads, writes sync.Mutex
}

// Via implements Stream.
func (s *muxStream) Via() string { return ViaMux }

// Read implements net.Conn.
func (s *muxStream) Read(p []byte) (int, error) {
	s.reads.Lock()
	n, err := s.Stream.Read(p)
	s.reads.Unlock()
	switch {
	case n > 0:
		// An error here says that yamux could not ask for more, as when the session ended with the stream. What
		// came is whole all the same; if more should have come, the next call fails.
		return n, nil
	case ended(err):
		s.readEnded.Store(true)
		return 0, err
	default:
		return 0, lost(err)
	}
}

// Write implements net.Conn.
func (s *muxStream) Write(p []byte) (int, error) {
	s.writes.Lock()
	defer s.writes.Unlock()
	n, err := s.Stream.Write(p)
	return n, lost(err)
}

// Gone implements pipe.Stream. yamux tells of a reset to who reads or writes only. A call whose time is over before
// it begins does neither; and where one is under way, that one is told.
func (s *muxStream) Gone() error {
	err := s.try(&s.writes, s.SetWriteDeadline, s.Stream.Write)
	if errors.Is(err, yamux.ErrStreamClosed) { // we have ended our direction: reading remains
		err = s.try(&s.reads, s.SetReadDeadline, func([]byte) (int, error) { return s.Stream.Read(nil) })
	}
	if err == nil || ended(err) || errors.Is(err, yamux.ErrTimeout) {
		return nil
	}
	return lost(err)
}

// try calls what would do something if it were not late, unless another call is under way.
func (s *muxStream) try(busy *sync.Mutex, deadline func(time.Time) error, call func([]byte) (int, error)) error {
	if !busy.TryLock() {
		return nil
	}
	defer busy.Unlock()
	_ = deadline(past) // always nil, here and below
	_, err := call(make([]byte, 1))
	_ = deadline(noDeadline)
	if s.cut.Load() {
		_ = deadline(past) // that of an abort, which may have come meanwhile
	}
	return err
}

// past makes whatever waits end.
var past = time.Unix(1, 0)

// lost puts yamux's errors into the words of a connection. None is an io.EOF: yamux wraps the one that ended
// the session into what it says of the streams that were cut by that.
func lost(err error) error {
	reset, isReset := errors.AsType[*yamux.StreamError](err)
	switch {
	case err == nil:
		return nil
	case isReset && reset.Remote && reset.ErrorCode != 0:
		return &RefusedError{Code: Code(reset.ErrorCode)}
	case isReset && !reset.Remote, errors.Is(err, yamux.ErrStreamClosed):
		return fmt.Errorf("%w: %v", net.ErrClosed, err) //nolint:errorlint // see above
	case errors.Is(err, yamux.ErrKeepAliveTimeout), errors.Is(err, yamux.ErrConnectionWriteTimeout), errors.Is(err, socket.ErrUnanswered):
		return fmt.Errorf("%w: %v", syscall.ETIMEDOUT, err) //nolint:errorlint // see above
	case errors.Is(err, yamux.ErrTimeout):
		return err // a deadline of this stream's
	default:
		return fmt.Errorf("%w: %v", syscall.ECONNRESET, err) //nolint:errorlint // see above
	}
}

// CloseWrite implements pipe.Stream.
func (s *muxStream) CloseWrite() error {
	err := s.Stream.CloseWrite()
	if err == nil {
		s.writeEnded.Store(true)
	}
	return lost(err)
}

// Abort implements pipe.Stream.
func (s *muxStream) Abort() { s.abort(0) }

func (s *muxStream) abort(code Code) {
	if s.over.Load() || s.cut.Swap(true) {
		return
	}
	// A reset alone does not wake a Write that waits for the session's queue.
	_ = s.SetDeadline(past) // always nil
	s.resets.send(s.Stream, code)
}

// Close implements pipe.Stream.
func (s *muxStream) Close() error {
	if s.over.Load() {
		return nil
	}
	if !s.readEnded.Load() || !s.writeEnded.Load() {
		s.Abort()
	}
	if !s.over.Swap(true) && s.done != nil {
		s.done()
	}
	return nil
}
