package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-yamux/v5"

	"github.com/linkspan/linkspan/pkg/gateway/socket"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// muxOnly is an egress whose streams share one connection.
func muxOnly(t *testing.T, d Dependencies, i *ingress) *egress {
	t.Helper()
	e := newEgress(t, Options{Lanes: -1, Sessions: 1}, d, i)
	e.via = ViaMux
	return e
}

// A stream whose receiver does not read holds up no other, and costs no more memory than its window.
func TestAStreamThatIsNotReadHoldsUpNoOther(t *testing.T) {
	for _, serverStalls := range []bool{true, false} {
		t.Run(fmt.Sprintf("by the server %v", serverStalls), func(t *testing.T) {
			i := newIngress(t, handing)
			e := muxOnly(t, Dependencies{}, i)
			stalled := e.dial()
			server := i.next(t)
			writer := stalled
			if !serverStalls {
				writer = server
			}
			var taken atomic.Int64
			var writing sync.WaitGroup
			writing.Go(func() {
				for block := make([]byte, 10_000); ; {
					n, err := writer.Write(block)
					taken.Add(int64(n))
					if err != nil {
						return
					}
				}
			})
			eventually(t, "the window is nearly full", func() bool { return taken.Load() > 240_000 })
			for range 5 {
				s := e.dial()
				other := i.next(t)
				go echo(other.Incoming)
				roundTrip(t, s, pattern(1<<20))
				close(other.released)
			}
			if n := taken.Load(); n > maxWindow {
				t.Errorf("%d bytes were taken that nobody read", n)
			}
			stalled.Abort()
			server.Abort()
			writing.Wait()
			server.finish(t)
		})
	}
}

// An abort wakes whoever writes or reads, and waits for nobody, even if the session is stuck.
func TestAnAbortOnASessionThatIsStuckDoesNotWait(t *testing.T) {
	client, server := yamuxPair(t)
	stream, err := client.mux.OpenStream(t.Context())
	must(t, err)
	s := &muxStream{Stream: stream, resets: &client.resets}
	_ = server // it accepts nothing and its connection is not read
	var calls sync.WaitGroup
	var written atomic.Int64
	for range 3 {
		other, err := client.mux.OpenStream(t.Context())
		must(t, err)
		calls.Go(func() {
			for {
				n, err := other.Write(make([]byte, 60_000))
				written.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
	var own sync.WaitGroup
	own.Go(func() {
		for {
			if _, err := s.Write(make([]byte, 100)); err != nil {
				return
			}
		}
	})
	own.Go(func() { _, _ = s.Read(make([]byte, 10)) })
	last := int64(-1)
	eventually(t, "the queue is full", func() bool { now := written.Load(); stuck := now == last && now > 0; last = now; return stuck })
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Abort()
		_ = s.Close()
		own.Wait()
	}()
	select {
	case <-done:
	case <-time.After(keepAliveTimeout / 2):
		t.Error("it waits for the other end")
	}
	client.close()
	calls.Wait()
	<-done
}

// yamuxPair is a session, and the raw end of a connection that nobody reads.
func yamuxPair(t *testing.T) (*session, net.Conn) {
	t.Helper()
	near, far := tlsPair(t)
	s, err := newSession(near, 0)
	must(t, err)
	t.Cleanup(s.close)
	return s, far
}

// How a session ends, streams must not take for their own end: yamux wraps the io.EOF of its connection into what it tells them.
func TestTheEndOfASessionIsNoEndOfItsStreams(t *testing.T) {
	for name, finish := range map[string]func(mux *yamux.Session, conn *Conn){
		"by a close_notify": func(_ *yamux.Session, conn *Conn) { _ = conn.CloseWrite() },
		"by a close":        func(_ *yamux.Session, conn *Conn) { _ = conn.Close() },
		"by yamux":          func(mux *yamux.Session, _ *Conn) { _ = mux.Close() },
		"by a go-away":      func(mux *yamux.Session, _ *Conn) { _ = mux.GoAway() },
		"by another":        func(mux *yamux.Session, _ *Conn) { _ = mux.CloseWithError(7) },
		"by a cut":          func(_ *yamux.Session, conn *Conn) { _ = conn.raw.Close() },
		"by a reset":        func(_ *yamux.Session, conn *Conn) { conn.Abort() },
	} {
		t.Run(name, func(t *testing.T) {
			near, far := tlsPair(t)
			client, err := newSession(near, 0)
			must(t, err)
			defer client.close()
			server, err := yamux.Server(far, muxConfig(10), nil)
			must(t, err)
			defer func() { _ = server.Close() }()
			s, err := client.open(t.Context(), []byte("header"), nil)
			must(t, err)
			other, err := server.AcceptStream()
			must(t, err)
			read(t, other, "header")
			write(t, other, "some of it")
			read(t, s, "some of it")
			finish(server, far)
			_, err = s.Read(make([]byte, 1))
			if err == nil || errors.Is(err, io.EOF) || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("reading gives %v", err)
			}
			if err := writeUntilItFails(s); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("writing gives %v", err)
			}
		})
	}
}

// A stream says what happened in the words of a connection, whichever way it takes.
func TestErrorsOfAMuxAreThoseOfAConnection(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want func(error) bool
	}{
		"a refusal":          {&yamux.StreamError{Remote: true, ErrorCode: 3}, func(err error) bool { r, ok := errors.AsType[*RefusedError](err); return ok && r.Code == CodeDenied }},
		"an abort":           {&yamux.StreamError{Remote: true}, is(syscall.ECONNRESET)},
		"our own abort":      {&yamux.StreamError{}, is(net.ErrClosed)},
		"behind our own end": {yamux.ErrStreamClosed, is(net.ErrClosed)},
		"a dead session":     {fmt.Errorf("%w: connection closed: %w", yamux.ErrStreamReset, yamux.ErrKeepAliveTimeout), is(syscall.ETIMEDOUT)},
		"a stuck session":    {fmt.Errorf("%w: connection closed: %w", yamux.ErrStreamReset, yamux.ErrConnectionWriteTimeout), is(syscall.ETIMEDOUT)},
		"a silent one":       {fmt.Errorf("%w: connection closed: %w", yamux.ErrStreamReset, socket.ErrUnanswered), is(syscall.ETIMEDOUT)},
		"an ended session":   {fmt.Errorf("%w: connection closed: %w", yamux.ErrStreamReset, io.EOF), func(err error) bool { return errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) }},
		"a go-away":          {yamux.ErrRemoteGoAway, is(syscall.ECONNRESET)},
		"a deadline":         {yamux.ErrTimeout, func(err error) bool { return isTimeout(err) && !errors.Is(err, syscall.ETIMEDOUT) }},
		"nothing":            {nil, func(err error) bool { return err == nil }},
	} {
		t.Run(name, func(t *testing.T) {
			if err := lost(c.err); !c.want(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func is(want error) func(error) bool {
	return func(err error) bool { return errors.Is(err, want) }
}

// K3: what has no header yet is bounded for each session, and legal streams wait rather than being reset.
func TestStreamsWithoutAHeaderAreBounded(t *testing.T) {
	i := newIngress(t)
	e := muxOnly(t, Dependencies{}, i)
	roundTrip(t, e.dial(), nil)
	var mux *yamux.Session
	e.each(func(p *peer) {
		p.mu.Lock()
		defer p.mu.Unlock()
		mux = p.sessions[0].mux
	})
	before := runtime.NumGoroutine()
	var silent []*yamux.Stream
	// So many are accepted and so many wait; a client that keeps to yamux's rules cannot begin another.
	for range maxHeaderless + acceptBacklog {
		stream, err := mux.OpenStream(t.Context())
		must(t, err)
		silent = append(silent, stream)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for n := 0; ; n++ {
		stream, err := mux.OpenStream(ctx)
		if err != nil {
			break
		}
		if silent = append(silent, stream); n > 10 {
			t.Fatal("there is no bound")
		}
	}
	if n := runtime.NumGoroutine() - before; n > maxHeaderless+50 {
		t.Errorf("%d goroutines wait for headers", n)
	}
	var others sync.WaitGroup
	others.Go(func() { // it waits, and then works
		s, err := e.Open(t.Context(), e.gateway, target)
		if err == nil {
			err = echoes(s, pattern(1000))
		}
		if err != nil {
			t.Error(err)
		}
	})
	for _, stream := range silent {
		must(t, stream.CloseWrite())
	}
	others.Wait()
}

// Two thousand streams begin at once on one session: more than may wait for their header at a time.
func TestABurstOfStreamsOnOneSessionLosesNone(t *testing.T) {
	i := newIngress(t)
	e := muxOnly(t, Dependencies{}, i)
	var clients sync.WaitGroup
	for range 2000 {
		clients.Go(func() {
			s, err := e.Open(t.Context(), e.gateway, target)
			if err == nil {
				err = echoes(s, pattern(10))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	if c := e.count(); c != (counts{sessions: 1}) {
		t.Errorf("counted is %+v", c)
	}
}

// hostileMux is a gateway whose sessions a test plays.
func hostileMux(t *testing.T, play func(mux *yamux.Session)) *egress {
	t.Helper()
	address, conns := speakAs(t, wire.ALPNMux)
	e := muxOnly(t, Dependencies{}, &ingress{listener: fakeListener{address}})
	e.options.ConnectTimeout = time.Second
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for conn := range conns {
			_ = conn.SetDeadline(noDeadline)
			mux, err := yamux.Server(conn.Conn, muxConfig(10_000), nil)
			if err != nil {
				t.Error(err)
				return
			}
			sessions.Go(func() {
				play(mux)
				<-mux.CloseChan()
			})
			t.Cleanup(func() { _ = mux.Close() })
		}
	})
	t.Cleanup(e.close) // first, so that sessions end
	return e
}

// A gateway may ask for no more streams as often as it likes, and with as many streams as it likes.
func TestAFloodOfStreamsFromAGatewayIsHarmless(t *testing.T) {
	var asked atomic.Int64
	e := hostileMux(t, func(mux *yamux.Session) {
		for range 2000 {
			stream, err := mux.OpenStream(context.Background())
			if err != nil {
				return
			}
			_, _ = stream.Write(make([]byte, 1000)) // it is reset
			asked.Add(1)
		}
	})
	s := e.dial()
	eventually(t, "the flood is over", func() bool { return asked.Load() >= 2000 || e.count() == counts{sessions: 1} && asked.Load() > 1000 })
	if c := e.count(); c.streams != 1 || c.sessions != 1 {
		t.Errorf("counted is %+v", c)
	}
	must(t, s.Close())
	e.eventually("the session ends", func() bool { return e.count() == counts{} })
}

// A gateway that resets every stream at once cuts them, and nothing else happens.
func TestAGatewayThatResetsEverythingIsHarmless(t *testing.T) {
	e := hostileMux(t, func(mux *yamux.Session) {
		for n := uint32(0); ; n++ {
			stream, err := mux.AcceptStream()
			if err != nil {
				return
			}
			_ = stream.ResetWithError(n)
		}
	})
	for n := range 20 {
		s := e.dial()
		_, err := io.Copy(io.Discard, s)
		refused, ok := errors.AsType[*RefusedError](err)
		if err == nil || ok != (n > 0) || ok && refused.Code != Code(n) {
			t.Errorf("stream %d: %v", n, err)
		}
		must(t, s.Close())
	}
	if c := e.count(); c != (counts{sessions: 1}) {
		t.Errorf("counted is %+v", c)
	}
}

// A stream that is refused while its header is being written fails alone: its session is as good as before.
func TestAResetInTheHeaderIsTheStreamsOwn(t *testing.T) {
	near, far := tlsPair(t)
	client, err := newSession(near, 0)
	must(t, err)
	defer client.close()
	server, err := yamux.Server(far, muxConfig(10), nil)
	must(t, err)
	defer func() { _ = server.Close() }()
	var gateway sync.WaitGroup
	defer gateway.Wait()
	gateway.Go(func() {
		if stream, err := server.AcceptStream(); err == nil {
			_ = stream.ResetWithError(uint32(CodeFull))
		}
	})
	s, err := client.open(t.Context(), make([]byte, maxWindow+1), nil) // so long that it cannot be written before
	if err != nil {
		t.Fatalf("the session is blamed: %v", err)
	}
	refused, ok := errors.AsType[*RefusedError](writeUntilItFails(s))
	if !ok || refused.Code != CodeFull {
		t.Errorf("it is not told: %v", err)
	}
	must(t, s.Close())
}

// A gateway that does not say that it takes streams gets no more of them after a while, and clients another session.
func TestAGatewayThatAcceptsNoStreamsDoesNotKeepClients(t *testing.T) {
	e := hostileMux(t, func(*yamux.Session) {})
	e.options.ConnectTimeout = 2 * time.Second
	var clients sync.WaitGroup
	streams := make(chan Stream, acceptBacklog+100)
	for range acceptBacklog + 100 {
		clients.Go(func() {
			s, err := e.Open(t.Context(), e.gateway, target)
			if err != nil {
				t.Error(err)
				return
			}
			streams <- s
		})
	}
	clients.Wait()
	if c := e.count(); c != (counts{sessions: 2, streams: acceptBacklog + 100}) {
		t.Errorf("counted is %+v", c)
	}
	close(streams)
	for s := range streams {
		must(t, s.Close())
	}
	if c := e.count(); c.streams != 0 {
		t.Errorf("counted is %+v", c)
	}
}
