package tunnel

import (
	"crypto/tls"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-yamux/v5"

	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// muxTo opens a session by hand, which answers the ingress's pings and asks for nothing by itself.
func muxTo(t *testing.T, i *ingress) *yamux.Session {
	t.Helper()
	config, err := clientTLS(gatewayName, wire.ALPNMux)
	must(t, err)
	conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", i.address().String())
	must(t, err)
	quiet := yamux.DefaultConfig()
	quiet.LogOutput = io.Discard
	mux, err := yamux.Client(conn, quiet, nil)
	must(t, err)
	t.Cleanup(func() { _ = mux.Close() })
	return mux
}

func expectClosed(t *testing.T, mux *yamux.Session) {
	t.Helper()
	soon(t, "the end of the session", mux.CloseChan())
}

// GW-12: whoever is authenticated and silent holds a session no longer than a lane.
func TestASessionThatNeverHadAStreamIsGivenUp(t *testing.T) {
	for name, ask := range map[string]func(mux *yamux.Session){
		"silent": func(*yamux.Session) {},
		"with streams that send nothing": func(mux *yamux.Session) {
			for {
				stream, err := mux.OpenStream(t.Context())
				if err != nil {
					return
				}
				_, _ = stream.Read(make([]byte, 1))
			}
		},
		"with streams that are reset at once": func(mux *yamux.Session) {
			for {
				stream, err := mux.OpenStream(t.Context())
				if err != nil {
					return
				}
				_ = stream.Reset()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIngress(t, speaking(wire.ALPNMux), func(i *ingress) {
				i.HeaderTimeout, i.IdleTimeout, i.BadHeader = 100*time.Millisecond, time.Hour, func(string, error) {}
			})
			mux := muxTo(t, i)
			asked := make(chan struct{})
			go func() {
				defer close(asked)
				ask(mux)
			}()
			expectClosed(t, mux)
			soon(t, "the client to see it", asked)
		})
	}
}

// A header that comes in time is served, even if the session has waited long for it.
func TestASessionsFirstStreamHasItsTime(t *testing.T) {
	const limit = 1500 * time.Millisecond
	i := newIngress(t, speaking(wire.ALPNMux), func(i *ingress) { i.HeaderTimeout, i.IdleTimeout = limit, time.Hour })
	mux := muxTo(t, i)
	<-time.After(limit / 2)
	stream, err := mux.OpenStream(t.Context())
	must(t, err)
	write(t, stream, headerBytes[:5])
	<-time.After(limit * 2 / 3)
	write(t, stream, headerBytes[5:])
	write(t, stream, "hello")
	read(t, stream, "hello")
}

func TestAnIdleSessionIsGivenUp(t *testing.T) {
	const idle = 200 * time.Millisecond
	i := newIngress(t, speaking(wire.ALPNMux), func(i *ingress) { i.HeaderTimeout, i.IdleTimeout = patience, idle })
	mux := muxTo(t, i)
	stream, err := mux.OpenStream(t.Context())
	must(t, err)
	write(t, stream, headerBytes+"hello")
	read(t, stream, "hello")
	select {
	case <-mux.CloseChan():
		t.Fatal("the session was closed under its stream")
	case <-time.After(3 * idle):
	}
	write(t, stream, "still here")
	read(t, stream, "still here")
	began := time.Now()
	must(t, stream.CloseWrite())
	end(t, stream)
	expectClosed(t, mux)
	if took := time.Since(began); took < idle/2 {
		t.Errorf("it was closed after %v", took)
	}
}
