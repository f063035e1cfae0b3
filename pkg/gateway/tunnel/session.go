package tunnel

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-yamux/v5"
)

// Settings of yamux.
const (
	// A session whose other end says nothing for so long is dead.
	keepAliveInterval = 5 * time.Second
	keepAliveTimeout  = 10 * time.Second
	// maxWindow is how much a stream may have sent that its receiver has not taken: the most memory that
	// one stream costs there. It starts with a quarter of that, yamux's smallest.
	maxWindow = 1 << 20
	// maxFrame is how long a stream has the connection to itself.
	maxFrame = mostGathered
	// acceptBacklog is how many streams may wait to be accepted. The other end does not begin more: it
	// counts those that have not been.
	acceptBacklog = 1024
	// partingTime is how long the other end has to close a session that is over.
	partingTime = 10 * time.Second
	// closeTime is the same once the whole pool is closed.
	closeTime = time.Second
)

func muxConfig(maxStreams int) *yamux.Config {
	config := yamux.DefaultConfig()
	config.AcceptBacklog = acceptBacklog
	config.KeepAliveInterval = keepAliveInterval
	config.ConnectionWriteTimeout = keepAliveTimeout
	config.MaxIncomingStreams = uint32(maxStreams)
	config.MaxStreamWindowSize = maxWindow
	config.MaxMessageSize = maxFrame
	config.LogOutput = io.Discard // what it would say comes back as errors
	return config
}

// session is a connection that carries many streams, as its client sees it.
type session struct {
	mux  *yamux.Session
	conn *Conn
	// generation is that of the certificates it was made under.
	generation uint64
	// retired is set when it takes no more streams: the ingress wants none, or it failed.
	retired atomic.Bool
	resets  resets
	// ended is closed when the goroutine that accepts is gone.
	ended chan struct{}

	// The rest is guarded by the peer's lock. yamux counts streams too, but forgets one that has ended
	// on the wire while we still read what it brought.
	streams int
	since   time.Time // when there were streams last
	parting time.Time // when we asked the other end to close it; zero before
}

// muxConn is what yamux works with. It closes a connection as soon as a write fails, although the other end's last words may wait to
// be read still; its own reader hears them.
type muxConn struct {
	*Conn
	over chan struct{} // closed once a read has failed
	once sync.Once
}

func (c *muxConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.once.Do(func() { close(c.over) })
	}
	return n, err
}

func (c *muxConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		select {
		case <-c.over:
		case <-time.After(lastWordsTime):
		}
	}
	return n, err
}

func newSession(conn *Conn, generation uint64) (*session, error) {
	mux, err := yamux.Client(&muxConn{Conn: conn, over: make(chan struct{})}, muxConfig(1), nil)
	if err != nil {
		return nil, err
	}
	s := &session{mux: mux, conn: conn, generation: generation, ended: make(chan struct{})}
	go s.listen()
	return s, nil
}

// listen waits for the ingress to say that it wants no more streams, by opening one itself.
func (s *session) listen() {
	defer close(s.ended)
	for {
		stream, err := s.mux.AcceptStream()
		if err != nil {
			return
		}
		s.retired.Store(true)
		_ = stream.Reset() // it carries nothing
	}
}

func (s *session) usable(generation uint64) bool {
	return !s.retired.Load() && !s.mux.IsClosed() && s.generation == generation
}

// open opens a stream. ctx is for that only; done is called when the stream is closed.
func (s *session) open(ctx context.Context, head []byte, done func()) (Stream, error) {
	stream, err := s.mux.OpenStream(ctx)
	if err != nil {
		return nil, lost(err)
	}
	_, err = stream.Write(head)
	if _, reset := errors.AsType[*yamux.StreamError](err); err != nil && !reset {
		_ = stream.Reset() // the error of the write is the one to tell
		return nil, lost(err)
	}
	// One that was reset already says so to its reader: that is no fault of the session.
	return &muxStream{Stream: stream, resets: &s.resets, done: done}, nil
}

// part asks the other end to close a session that has no streams. What was sent before is taken in first;
// closing it ourselves would lose what yamux still has in its queue, such as the end of the last stream.
func (s *session) part() {
	_ = s.mux.GoAway() // fails only when it is closed already
}

// close ends the session and everything on it.
func (s *session) close() {
	s.conn.Abort()
	_ = s.mux.Close() // there is nothing left to lose
	<-s.ended
	s.resets.wait()
}

// resets sends resets, so that whoever aborts a stream does not wait for a connection that is stuck.
type resets struct {
	mu      sync.Mutex
	over    bool
	running sync.WaitGroup
}

func (r *resets) send(stream *yamux.Stream, code Code) {
	r.mu.Lock()
	over := r.over
	if !over {
		r.running.Go(func() { _ = stream.ResetWithError(uint32(code)) }) // always nil
	}
	r.mu.Unlock()
	if over {
		_ = stream.ResetWithError(uint32(code)) // the session is closed, so this does not wait
	}
}

// wait is called once the session is closed.
func (r *resets) wait() {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.running.Wait()
}
