package ingress

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// stuck is a stream whose application takes nothing more.
type stuck struct {
	far
	app *net.TCPConn
	// ended is closed when the client learns that the stream is no more.
	ended chan struct{}
}

// openStuck serves shop/echo with an application that prepare may do something to, and that then reads nothing; and
// opens a stream to it, on which nothing more can be written when it returns.
func (g *gateway) openStuck(open func() far, prepare func(*net.TCPConn)) stuck {
	g.Helper()
	apps, over := make(chan *net.TCPConn, 1), make(chan struct{})
	g.network.route(echoIP+":80", startApp(g.T, func(conn *net.TCPConn) {
		prepare(conn)
		apps <- conn
		<-over
	}))
	g.Cleanup(func() { close(over) }) // before startApp's
	s := stuck{far: open(), ended: make(chan struct{})}
	s.app = within(g.T, apps, "the application's connection")
	go func() {
		defer close(s.ended)
		for block := make([]byte, 32<<10); ; {
			if _, err := s.Write(block); err != nil {
				return
			}
		}
	}()
	g.waitFull(func() float64 { return g.metric("linkspan_gateway_bytes_total", "direction", "sent") })
	return s
}

// waitFull waits until bytes were taken, and no more are.
func (g *gateway) waitFull(taken func() float64) {
	g.Helper()
	last, same := -1.0, 0
	g.waitFor("everything to be full", func() bool {
		now := taken()
		if now != last {
			last, same = now, 0
		}
		same++
		return now > 0 && same > 100
	})
}

// expectPlace waits until no place is taken any more, by nobody.
func (g *gateway) expectPlace() {
	g.Helper()
	g.waitFor("the place to be given back", func() bool {
		l := g.server.streamLimits
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.open == 0 && len(l.clients) == 0
	})
}

func asItIs(*net.TCPConn) {}

// impatient looks at streams all the time.
func impatient(g *gateway) { g.server.pipes.Interval = 10 * time.Millisecond }

// An application that accepts and never reads must not keep a stream that is revoked.
func TestAStreamWhoseApplicationReadsNothingCanBeRevoked(t *testing.T) {
	t.Parallel()
	for _, r := range revocations() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			eachWay(t, func(t *testing.T, w way) {
				g := startWithAllowFile(t)
				s := g.openStuck(func() far { return g.openEcho(w, g.credentials(webClient)) }, asItIs)
				took := measured(func() {
					r.revoke(g)
					within(t, s.ended, "the client to learn of it")
					g.expectEnd(1, stream.Aborted, stream.ReasonWithdrawn)
				})
				if took > soon {
					t.Errorf("it took %v", took)
				}
				g.expectPlace()
				expectAborted(t, s.app)
			})
		})
	}
}

// expectAborted expects that an application that reads at last finds no end.
func expectAborted(t *testing.T, app *net.TCPConn) {
	t.Helper()
	if n, err := io.Copy(io.Discard, app); err == nil {
		t.Errorf("the application found an end after %d bytes", n)
	}
}

func TestAStreamWhoseApplicationReadsNothingEndsWithItsClientsAnchor(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		g := startGateway(t, Options{})
		other := g.pki.Anchor("other")
		own := g.pki.Leaf(g.pki.Issuer(g.anchor, "east"), gatewayName)
		g.reload(g.pki.Files(own, g.anchor, other))
		s := g.openStuck(func() far { return g.openEcho(w, anyway(g.credentialsUnder(other, batClient))) }, asItIs)
		took := measured(func() {
			g.reload(g.pki.Files(own, g.anchor))
			g.expectEnd(1, stream.Aborted, stream.ReasonUntrusted)
		})
		if took > soon {
			t.Errorf("it took %v", took)
		}
		g.expectPlace()
		expectAborted(t, s.app)
	})
}

func TestAnIngressStopsAlthoughApplicationsReadNothing(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		g := startGateway(t, Options{})
		s := g.openStuck(func() far { return g.openEcho(w, g.credentials(webClient)) }, asItIs)
		g.stop()
		within(t, g.stopped, "the end of Run")
		g.expectEnd(1, stream.Aborted, stream.ReasonStopped)
		expectAborted(t, s.app)
	})
}

// A client that leaves gives its place back, whatever its application does: else an application, by doing nothing,
// could lock its clients out of all other Services.
func TestAClientThatLeavesIsNoticedAlthoughItsApplicationDoesNothing(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*net.TCPConn){
		"it reads nothing": asItIs,
		"it reads nothing, and has ended its own direction": func(conn *net.TCPConn) { _ = conn.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachWay(t, func(t *testing.T, w way) {
				g := startGateway(t, Options{MaxClientStreams: 1}, impatient)
				g.table.SetService(service("shop", "other", "10.96.0.8"))
				g.network.route("10.96.0.8:80", startApp(t, echo))
				s := g.openStuck(func() far { return g.openEcho(w, g.credentials(webClient)) }, prepare)
				abort(t, s.far)
				g.expectEnd(1, stream.Aborted, "reset")
				g.expectPlace()
				expectAborted(t, s.app)
				next := g.open(w, g.credentials(webClient), "other.shop.svc.cluster.local", 80, opaque)
				say(t, next, "hello")
				finish(t, next)
			})
		})
	}
	t.Run("it says nothing, after the client has ended its direction", func(t *testing.T) {
		t.Parallel()
		eachWay(t, func(t *testing.T, w way) {
			g := startGateway(t, Options{}, impatient)
			asked, over := make(chan struct{}), make(chan struct{})
			g.network.route(echoIP+":80", startApp(t, func(conn *net.TCPConn) {
				_, _ = io.Copy(io.Discard, conn)
				close(asked)
				<-over
			}))
			t.Cleanup(func() { close(over) })
			s := g.openEcho(w, g.credentials(webClient))
			if err := s.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			within(t, asked, "the end at the application")
			abort(t, s)
			g.expectEnd(1, stream.Aborted, "reset")
			g.expectPlace()
		})
	})
}

// zeros are a body without an end, and tell how much of it was taken.
type zeros struct{ taken atomic.Int64 }

func (z *zeros) Read(p []byte) (int, error) {
	z.taken.Add(int64(len(p)))
	return len(p), nil
}

// What Linkerd's proxies send as HTTP/2 has its own reader all the time.
func TestRequestsWhoseApplicationReadsNothingEnd(t *testing.T) {
	t.Parallel()
	for protocol, headers := range map[string][]string{"HTTP/1.1": {"l5d-orig-proto", "HTTP/1.1"}, "HTTP/2": nil} {
		for name, c := range map[string]struct {
			end    func(g *gateway, leave func())
			result stream.Result
			reason string
		}{
			"the Service is deleted": {func(g *gateway, _ func()) { g.table.DeleteService("shop", "echo") }, stream.Aborted, stream.ReasonWithdrawn},
			"the client leaves":      {func(_ *gateway, leave func()) { leave() }, stream.Done, ""}, // of HTTP/2 that is no fault
			"the ingress ends":       {func(g *gateway, _ func()) { g.stop() }, stream.Aborted, stream.ReasonStopped},
		} {
			t.Run(protocol+", "+name, func(t *testing.T) {
				t.Parallel()
				g := startGateway(t, Options{})
				over := make(chan struct{})
				g.network.route(echoIP+":80", startApp(t, func(*net.TCPConn) { <-over }))
				t.Cleanup(func() { close(over) })
				client := g.httpClient(echoName)
				var conns []net.Conn
				transport := client.Transport.(*http.Transport)
				dial := transport.DialContext
				transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := dial(ctx, network, address)
					conns = append(conns, conn)
					return conn, err
				}
				body := &zeros{}
				r := g.request(http.MethodPost, "", headers...)
				r.Body, r.ContentLength = io.NopCloser(body), -1
				done := make(chan error, 1)
				go func() {
					answer, err := client.Do(r)
					if err == nil {
						_ = answer.Body.Close()
					}
					done <- err
				}()
				g.waitFull(func() float64 { return float64(body.taken.Load()) })
				c.end(g, func() { breakOff(t, conns[0].(*tls.Conn)) })
				_ = within(t, done, "the request's end") // however it is told
				g.expectEnd(1, c.result, c.reason)
				g.expectPlace()
			})
		}
	}
}
