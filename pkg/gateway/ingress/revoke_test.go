package ingress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/linkspan/linkspan/pkg/gateway/certs"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
	pki "github.com/linkspan/linkspan/test/certs"
)

// revocations are all that takes a client's way to shop/echo away.
func revocations() []revocation {
	unexport := func(g *gateway) {
		g.table.SetService(service("shop", "echo", echoIP, func(svc *corev1.Service) { svc.Labels = nil }))
	}
	return []revocation{
		{name: "the Service is no longer exported", revoke: unexport, result: stream.Refused, reason: "not_exported", code: codeNotExported},
		{
			name: "the Service is deleted", revoke: func(g *gateway) { g.table.DeleteService("shop", "echo") },
			result: stream.Refused, reason: "not_exported", code: codeNotExported,
		},
		{
			name: "the Service loses the port", revoke: func(g *gateway) {
				g.table.SetService(service("shop", "echo", echoIP, func(svc *corev1.Service) { svc.Spec.Ports[0].Port = 81 }))
			},
			result: stream.Refused, reason: "no_such_port", code: codeNotExported,
		},
		{
			name: "the Service's annotation no longer has the client", revoke: func(g *gateway) {
				g.table.SetService(service("shop", "echo", echoIP, allowing(batClient)))
			},
			result: stream.Denied, reason: stream.ReasonExportNotAllowed, code: codeDenied,
		},
		{
			name: "the allow-list's file no longer has the client", revoke: func(g *gateway) { g.writeAllowFile(batClient) },
			result: stream.Denied, reason: stream.ReasonClientNotAllowed, code: codeDenied,
		},
	}
}

type revocation struct {
	name   string
	revoke func(*gateway)
	// What becomes of a new stream.
	result stream.Result
	reason string
	code   uint32
}

// startWithAllowFile starts a gateway whose allow-list is a file with both clients.
func startWithAllowFile(t *testing.T) *gateway {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clients")
	if err := os.WriteFile(path, []byte(webClient+"\n"+batClient+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := startGateway(t, Options{AllowFile: path})
	g.serveEcho()
	return g
}

func (g *gateway) writeAllowFile(text string) {
	g.Helper()
	path := g.server.options.AllowFile
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		g.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		g.Fatal(err)
	}
}

// The issue: a revoked identity's stream is aborted within a second, and new ones are refused.
func TestWhatIsRevokedReachesOpenStreams(t *testing.T) {
	t.Parallel()
	for _, r := range revocations() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			eachWay(t, func(t *testing.T, w way) {
				g := startWithAllowFile(t)
				config := g.credentials(webClient)
				g.table.SetService(service("shop", "other", "10.96.0.8"))
				g.network.route("10.96.0.8:80", startApp(t, echo))
				s := g.openEcho(w, config)
				say(t, s, "hello")
				took := measured(func() {
					r.revoke(g)
					expectCut(t, s)
				})
				if took > soon {
					t.Errorf("the stream was cut after %v", took)
				}
				line := g.expectEnd(1, stream.Aborted, stream.ReasonWithdrawn)
				if line.Sent != 5 || line.Received != 5 || line.Client != webClient || line.Target != "shop/echo:80" {
					t.Errorf("the access log says %+v", line)
				}
				w.expectRefused(t, g.openEcho(w, config), r.code)
				g.expectEnd(2, r.result, r.reason)
				if text := g.log.text(); !strings.Contains(text, "Cut open streams") {
					t.Errorf("the log says %s", text)
				}
			})
		})
	}
}

// Only what is revoked is cut.
func TestARevocationLeavesOtherStreamsAlone(t *testing.T) {
	t.Parallel()
	for _, r := range revocations() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			eachWay(t, func(t *testing.T, w way) {
				g := startWithAllowFile(t)
				g.table.SetService(service("shop", "other", "10.96.0.8"))
				g.network.route("10.96.0.8:80", startApp(t, echo))
				// The other one has another Service, and is another client.
				other := g.open(w, g.credentials(batClient), "other.shop.svc.cluster.local", 80, opaque)
				say(t, other, "hello")
				s := g.openEcho(w, g.credentials(webClient))
				say(t, s, "hello")
				r.revoke(g)
				expectCut(t, s)
				say(t, other, "still here")
				finish(t, other)
			})
		})
	}
}

// On one mux only the stream is cut, and the others on it go on.
func TestACutStreamOfAMuxTakesNoOtherAlong(t *testing.T) {
	t.Parallel()
	g := startWithAllowFile(t)
	g.table.SetService(service("shop", "other", "10.96.0.8"))
	g.network.route("10.96.0.8:80", startApp(t, echo))
	session := newSession(t, g.secure(g.credentials(webClient), alpnMux))
	s := openMux(t, session, header(echoName, 80, opaque))
	other := openMux(t, session, header("other.shop.svc.cluster.local", 80, opaque))
	say(t, s, "hello")
	say(t, other, "hello")
	g.table.DeleteService("shop", "echo")
	expectCut(t, s)
	say(t, other, "still here")
	finish(t, other)
}

// Nothing but the endpoints changes: a pod that is not ready keeps its connections.
func TestAStreamOutlivesTheReadinessOfItsEndpoint(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	g.exportPods([2]string{"10.0.0.1", "pod-0"})
	g.network.route("10.0.0.1:8080", startApp(t, echo))
	w := ways()[1]
	s := g.open(w, g.credentials(webClient), "pod-0."+podsName, 80, opaque)
	say(t, s, "hello")
	g.exportPods()
	w.expectRefused(t, g.open(w, g.credentials(webClient), "pod-0."+podsName, 80, opaque), codeUnreachable)
	say(t, s, "still here")
	finish(t, s)
}

// A change that comes between the decision and what follows from it is not missed.
func TestAChangeWhileAStreamIsBeingLetInIsNotMissed(t *testing.T) {
	t.Parallel()
	t.Run("before the allow-list is asked", func(t *testing.T) {
		t.Parallel()
		eachWay(t, func(t *testing.T, w way) {
			g := startGateway(t, Options{}, func(g *gateway) {
				g.server.judge.allows = func(string) bool {
					g.table.DeleteService("shop", "echo")
					return true
				}
			})
			s := g.openEcho(w, g.credentials(webClient))
			expectCut(t, s)
			if asked := g.network.asked(); len(asked) > 0 {
				t.Errorf("dialed %q", asked)
			}
		})
	})
	t.Run("after the allow-list was asked", func(t *testing.T) {
		t.Parallel()
		eachWay(t, func(t *testing.T, w way) {
			g := startGateway(t, Options{}, func(g *gateway) {
				var mu sync.Mutex
				asked := 0
				g.server.judge.allows = func(string) bool {
					mu.Lock()
					asked++
					first := asked == 1
					mu.Unlock()
					if first {
						g.server.policyChanged()
					}
					return first
				}
			})
			g.serveEcho()
			expectCut(t, g.openEcho(w, g.credentials(webClient)))
			g.expectEnd(1, stream.Aborted, stream.ReasonWithdrawn)
		})
	})
	t.Run("while the application is dialed", func(t *testing.T) {
		t.Parallel()
		eachWay(t, func(t *testing.T, w way) {
			g := startGateway(t, Options{}, func(g *gateway) {
				g.network.each = func(string) { g.table.DeleteService("shop", "echo") }
			})
			g.serveEcho()
			expectCut(t, g.openEcho(w, g.credentials(webClient)))
			g.expectEnd(1, stream.Aborted, stream.ReasonWithdrawn)
		})
	})
	t.Run("after the application has answered", func(t *testing.T) {
		t.Parallel()
		eachWay(t, func(t *testing.T, w way) {
			g := startGateway(t, Options{})
			g.serveEcho()
			dial := g.server.deps.Dial
			g.server.deps.Dial = func(_ context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(context.Background(), network, address)
				g.table.DeleteService("shop", "echo")
				return conn, err
			}
			expectCut(t, g.openEcho(w, g.credentials(webClient)))
			g.expectEnd(1, stream.Aborted, stream.ReasonWithdrawn)
		})
	})
}

// An application that answers nothing must not keep a stream that is revoked.
func TestAStreamThatIsBeingDialedIsCutToo(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		g := startGateway(t, Options{ConnectTimeout: time.Minute})
		s := g.openEcho(w, g.credentials(webClient))
		g.waitFor("the application to be dialed", func() bool { return len(g.network.asked()) == 1 })
		took := measured(func() {
			g.table.DeleteService("shop", "echo")
			expectCut(t, s)
			g.expectEnd(1, stream.Aborted, stream.ReasonWithdrawn)
		})
		if took > soon {
			t.Errorf("cut after %v", took)
		}
		if n := g.metric("linkspan_gateway_dial_errors_total"); n != 0 {
			t.Errorf("%v failed connections were counted: the application has done nothing", n)
		}
	})
}

// A client that takes nothing must not hold up what is told about others: ExportChanged waits for no client.
func TestARevocationDoesNotWaitForAStalledClient(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	open := make(chan struct{})
	g.network.route(echoIP+":80", startApp(t, func(conn *net.TCPConn) {
		<-open
		firehose(conn)
	}))
	config := g.credentials(webClient)
	config.NextProtos = []string{alpnMux}
	reading := &tap{TCPConn: g.connect()}
	if err := reading.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(reading, config)
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	session := newSession(t, conn)
	const streams = 60
	for range streams {
		openMux(t, session, header(echoName, 80, opaque))
	}
	g.waitFor("all streams to reach the application", func() bool { return len(g.network.asked()) == streams })
	reading.Lock() // from now on nothing is read
	defer reading.Unlock()
	close(open)
	last, same := -1.0, 0
	g.waitFor("everything to be full", func() bool {
		now := g.metric("linkspan_gateway_bytes_total", "direction", "received")
		if now != last {
			last, same = now, 0
		}
		same++
		return now > 0 && same > 50
	})
	if took := measured(func() { g.table.DeleteService("shop", "echo") }); took > soon {
		t.Errorf("it took %v", took)
	}
	g.stop()
	g.expectStreams(streams)
	for _, line := range g.logged() {
		if line.Reason != stream.ReasonWithdrawn {
			t.Errorf("a stream was %s (%s)", line.Result, line.Reason)
		}
	}
}

// tap is a connection that can be shut.
type tap struct {
	*net.TCPConn
	sync.Mutex
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.Lock() // while it is shut, this is the last that comes through
	defer c.Unlock()
	return n, err
}

// Connections whose anchor is taken away end, with all that is on them.
func TestAClientWhoseAnchorIsRemovedIsCut(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		g := startGateway(t, Options{})
		g.serveEcho()
		other := g.pki.Anchor("other")
		own := g.pki.Leaf(g.pki.Issuer(g.anchor, "east"), gatewayName)
		g.reload(g.pki.Files(own, g.anchor, other))
		s := g.openEcho(w, g.credentials(webClient))
		foreign := g.openEcho(w, anyway(g.credentialsUnder(other, batClient)))
		say(t, s, "hello")
		say(t, foreign, "hello")

		// The gateway's own certificate is renewed too, which ends nothing.
		took := measured(func() {
			g.reload(g.pki.Files(g.pki.Leaf(g.pki.Issuer(g.anchor, "east"), gatewayName), g.anchor))
			expectCut(t, foreign)
		})
		if took > soon {
			t.Errorf("cut after %v", took)
		}
		if line := g.expectEnd(1, stream.Aborted, stream.ReasonUntrusted); line.Client != batClient {
			t.Errorf("the access log says %+v", line)
		}
		if text := g.log.text(); !strings.Contains(text, "no longer trusted") {
			t.Errorf("the log says %s", text)
		}
		say(t, s, "still here")
		finish(t, s)
		if _, err := g.trySecure(anyway(g.credentialsUnder(other, batClient)), w.alpn); err == nil {
			g.expectMetric(1, "linkspan_gateway_handshake_failures_total", "reason", "unknown_authority")
		}
	})
}

func (g *gateway) reload(files pki.Files) {
	g.Helper()
	g.pki.Write(files, g.dir)
	if err := g.store.Load(); err != nil {
		g.Fatal(err)
	}
}

// distrustful trusts the handshake, and nobody afterwards: the anchor has gone just in between.
type distrustful struct{ Certificates }

func (distrustful) StillTrusted(tls.ConnectionState) error { return errors.New("its anchor is gone") }
func (distrustful) Changed() <-chan struct{}               { return nil }

func TestAnAnchorThatGoesDuringTheHandshakeIsNoticed(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		g := startGateway(t, Options{}, func(g *gateway) {
			g.server.deps.Certificates = distrustful{g.server.deps.Certificates}
		})
		g.serveEcho()
		conn, err := g.trySecure(g.credentials(webClient), w.alpn)
		took := measured(func() {
			if err == nil {
				_, _ = io.Copy(io.Discard, conn) // a mux may have sent its first ping
			}
		})
		if took > soon {
			t.Errorf("the connection was cut after %v", took)
		}
		g.waitFor("the connection to end", func() bool { return g.metric("linkspan_gateway_open_connections") == 0 })
		if asked := g.network.asked(); len(asked) > 0 {
			t.Errorf("dialed %q", asked)
		}
	})
}

// Streams that end by themselves while everything changes: nothing is cut that is not meant, nothing is counted
// twice, and no lane is cut under its next stream.
func TestRevocationsAmongManyStreams(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		g := startGateway(t, Options{})
		g.serveEcho()
		g.table.SetService(service("shop", "stays", "10.96.0.8"))
		g.network.route("10.96.0.8:80", startApp(t, echo))
		config := g.credentials(webClient)
		stop, over := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(over)
			pace := time.NewTicker(2 * time.Millisecond)
			defer pace.Stop()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-pace.C:
				}
				g.table.SetService(service("shop", "echo", echoIP, allowing(fmt.Sprintf("c%d.example", i))))
				g.server.policyChanged()
				g.table.SetService(service("shop", "echo", echoIP))
			}
		}()
		for range 10 {
			stays := g.open(w, config, "stays.shop.svc.cluster.local", 80, opaque)
			goes := g.openEcho(w, config)
			say(t, stays, "hello")
			_ = goes.CloseWrite()
			_, _ = io.ReadAll(goes)
			say(t, stays, "still here")
			finish(t, stays)
		}
		close(stop)
		<-over
	})
}

// A lane serves the next stream as if nothing had been, when a revocation came as the last one ended.
func TestALaneIsNotCutUnderItsNextStream(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	g.serveEcho()
	g.table.SetService(service("shop", "stays", "10.96.0.8"))
	g.network.route("10.96.0.8:80", startApp(t, echo))
	conn := g.secure(g.credentials(webClient), alpnLane)
	for range 20 {
		s := beginLane(t, conn, header(echoName, 80, opaque))
		say(t, s, "hello")
		open := g.server.streams.all() // as a review has it that is about to cut
		finish(t, s)
		s = beginLane(t, conn, header("stays.shop.svc.cluster.local", 80, opaque))
		say(t, s, "hello")
		for _, one := range open {
			one.cut(&cutError{stream.ReasonWithdrawn})
		}
		say(t, s, "still here")
		finish(t, s)
	}
}

// expiring is a store of which an anchor can expire: nothing about its files changes, and nothing tells.
type expiring struct {
	*certs.Store
	expired atomic.Bool
}

func (e *expiring) StillTrusted(state tls.ConnectionState) error {
	if e.expired.Load() {
		return errors.New("the anchor has expired")
	}
	return e.Store.StillTrusted(state)
}

// The end of an anchor ends the connections that lead to it, without a change of any file.
func TestAnAnchorThatExpiresCutsItsClients(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		store := &expiring{}
		g := startGateway(t, Options{}, func(g *gateway) {
			store.Store = g.store
			g.server.deps.Certificates, g.server.trustInterval = store, 10*time.Millisecond
		})
		g.serveEcho()
		s := g.openEcho(w, g.credentials(webClient))
		say(t, s, "hello")
		store.expired.Store(true)
		expectCut(t, s)
		g.expectEnd(1, stream.Aborted, stream.ReasonUntrusted)
	})
}
