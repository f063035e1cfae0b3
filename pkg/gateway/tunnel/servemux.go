package tunnel

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/libp2p/go-yamux/v5"
)

// maxHeaderless is how many streams of a session may have no header yet. Others wait, and yamux lets
// the other end begin no more than acceptBacklog of those.
const maxHeaderless = 1024

// muxServer serves many streams at a time.
type muxServer struct {
	ServeOptions
	mux *yamux.Session
	// headerless holds a token for each stream without a header.
	headerless chan struct{}
	resets     resets
	streams    sync.WaitGroup

	mu   sync.Mutex // guards what follows
	open int        // streams with a header
	// idle calls expire, which closes a session that is without streams at the deadline.
	idle     *time.Timer
	deadline time.Time
	// late says that the deadline has passed, and was put off for streams whose header may be on its way.
	late bool
}

func serveMux(ctx context.Context, conn *Conn, o ServeOptions) error {
	mux, err := yamux.Server(conn, muxConfig(o.MaxStreams), nil)
	if err != nil {
		conn.Abort()
		return err
	}
	m := &muxServer{ServeOptions: o, mux: mux, headerless: make(chan struct{}, maxHeaderless)}
	stop := m.askWhenDraining(ctx)
	m.mu.Lock()
	m.idle = time.AfterFunc(o.HeaderTimeout, m.expire)
	m.wait(o.HeaderTimeout)
	m.mu.Unlock()
	err = m.accept(ctx)
	_ = m.mux.Close() // waits for a Close by expire
	// The session is closed now; streams that had ended before may still have something to read.
	stop()
	m.streams.Wait()
	m.idle.Stop()
	m.resets.wait()
	if ended(err) || errors.Is(err, yamux.ErrRemoteGoAway) || errors.Is(err, yamux.ErrSessionShutdown) {
		return nil // one of the ends needs it no longer
	}
	return err
}

// wait gives the session so much time for its next stream. The caller holds m.mu.
func (m *muxServer) wait(limit time.Duration) {
	m.deadline = time.Now().Add(limit)
	m.idle.Reset(limit)
}

// expire closes the session if it is idle. What came too late to be seen, its other end asks for elsewhere.
func (m *muxServer) expire() {
	m.mu.Lock()
	idle := m.open == 0 && !time.Now().Before(m.deadline)
	if idle && !m.late && len(m.headerless) > 0 {
		m.late, idle = true, false
		m.wait(m.HeaderTimeout)
	}
	m.mu.Unlock()
	if idle {
		_ = m.mux.Close() // always nil
	}
}

// count counts streams that have a header.
func (m *muxServer) count(change int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open += change; m.open == 0 {
		m.late = false
		m.wait(m.IdleTimeout)
	}
}

// askWhenDraining asks for no more streams once draining begins. The egress closes the session when there are none.
func (m *muxServer) askWhenDraining(ctx context.Context) (stop func()) {
	asked := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-m.Draining:
			if stream, err := m.mux.OpenStream(ctx); err == nil {
				_ = stream.Close()
			}
		case <-asked:
		}
	})
	return func() {
		close(asked)
		wg.Wait()
	}
}

// accept takes streams until the session is closed.
func (m *muxServer) accept(ctx context.Context) error {
	for {
		stream, err := m.mux.AcceptStream()
		if err != nil {
			return err
		}
		m.headerless <- struct{}{} // it is taken out again within HeaderTimeout, or when the session is closed
		m.streams.Go(func() { m.serve(ctx, &muxStream{Stream: stream, resets: &m.resets}) })
	}
}

func (m *muxServer) serve(ctx context.Context, stream *muxStream) {
	header, err := readHeader(stream, m.HeaderTimeout, 0)
	<-m.headerless
	if err != nil {
		if isFault(err) {
			m.BadHeader(ViaMux, err)
		}
		stream.abort(CodeBadHeader)
		return
	}
	m.count(1)
	defer m.count(-1)
	m.Handle(ctx, Incoming{Stream: stream, Header: header, refuse: stream.abort})
	_ = stream.Close() // always nil
}
