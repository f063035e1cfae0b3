package tunnel

import (
	"context"
	"errors"
	"sync"

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
}

func serveMux(ctx context.Context, conn *Conn, o ServeOptions) error {
	mux, err := yamux.Server(conn, muxConfig(o.MaxStreams), nil)
	if err != nil {
		conn.Abort()
		return err
	}
	m := &muxServer{ServeOptions: o, mux: mux, headerless: make(chan struct{}, maxHeaderless)}
	stop := m.askWhenDraining(ctx)
	err = m.accept(ctx)
	// The session is closed now; streams that had ended before may still have something to read.
	stop()
	m.streams.Wait()
	m.resets.wait()
	if ended(err) || errors.Is(err, yamux.ErrRemoteGoAway) {
		return nil // the other end needs it no longer
	}
	return err
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
	m.Handle(ctx, Incoming{Stream: stream, Header: header, refuse: stream.abort})
	_ = stream.Close() // always nil
}
