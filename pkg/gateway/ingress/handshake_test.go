package ingress

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	pki "github.com/linkspan/linkspan/test/certs"
)

// GW-10, and the issue: TLS 1.3 only, both sides present certificates, ALPN mandatory.
func TestAClientThatDoesNotProveWhoItIsGetsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, reason string
		alpn         string
		config       func(*gateway) *tls.Config
	}{
		{"TLS 1.2", "protocol_version", alpnLinkerd, func(g *gateway) *tls.Config {
			config := g.credentials(webClient)
			config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
			return config
		}},
		{"no ALPN", "no_alpn", "", func(g *gateway) *tls.Config { return g.credentials(webClient) }},
		{"another ALPN", "no_alpn", "h2", func(g *gateway) *tls.Config { return g.credentials(webClient) }},
		{"no certificate", "no_certificate", alpnLinkerd, func(g *gateway) *tls.Config {
			config := g.credentials(webClient)
			config.Certificates = nil
			return config
		}},
		{"a foreign anchor", "unknown_authority", alpnLinkerd, func(g *gateway) *tls.Config {
			return anyway(g.credentialsUnder(g.pki.Anchor("foreign"), webClient))
		}},
		{"a foreign anchor of the same name", "unknown_authority", alpnLinkerd, func(g *gateway) *tls.Config {
			return anyway(g.credentialsUnder(g.pki.Anchor("root"), webClient))
		}},
		{"an expired certificate", "expired", alpnLinkerd, func(g *gateway) *tls.Config {
			return g.credentials(webClient, pki.NotAfter(time.Now().Add(-time.Minute)))
		}},
		{"a certificate of tomorrow", "not_yet_valid", alpnLinkerd, func(g *gateway) *tls.Config {
			return g.credentials(webClient, pki.NotBefore(time.Now().Add(12*time.Hour)))
		}},
		{"no identity", "no_identity", alpnLinkerd, func(g *gateway) *tls.Config {
			return g.credentials(webClient, pki.DNSNames())
		}},
		{"an identity with a wildcard", "no_identity", alpnLinkerd, func(g *gateway) *tls.Config {
			return g.credentials(webClient, pki.DNSNames("*.shop.serviceaccount.identity.linkerd.cluster.local"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := startGateway(t, Options{})
			g.serveEcho()
			config := c.config(g)
			if c.alpn != "" {
				config.NextProtos = []string{c.alpn}
			}
			conn := tls.Client(g.connect(), config)
			if err := conn.HandshakeContext(t.Context()); err == nil {
				// In TLS 1.3 the client is through before the gateway has seen its certificate.
				_, _ = conn.Write(header(echoName, 80, opaque))
				_, _ = conn.Write([]byte("hello"))
				if n, err := conn.Read(make([]byte, 5)); err == nil {
					t.Fatalf("%d bytes of an answer came", n)
				}
			}
			g.expectMetric(1, "linkspan_gateway_handshake_failures_total", "reason", c.reason)
			g.expectMetric(1, "linkspan_gateway_connections_total", "result", "failed")
			if asked := g.network.asked(); len(asked) > 0 {
				t.Errorf("dialed %q", asked)
			}
			if lines := g.logged(); len(lines) > 0 {
				t.Errorf("a stream was told of: %+v", lines)
			}
		})
	}
}

// anyway presents a certificate even where the server has named other anchors.
func anyway(config *tls.Config) *tls.Config {
	own := config.Certificates[0]
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
	return config
}

func TestAClientThatSpeaksSomethingElseIsCounted(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	conn := g.connect()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, conn)
	g.expectMetric(1, "linkspan_gateway_handshake_failures_total", "reason", "not_tls")
}

// LESSON-53: load balancers check health by connecting and closing.
func TestConnectionsThatAskForNothingAreNoErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		visit func(*gateway)
	}{
		{"closed at once", func(g *gateway) { _ = g.connect().Close() }},
		{"reset at once", func(g *gateway) {
			conn := g.connect()
			_ = conn.SetLinger(0)
			_ = conn.Close()
		}},
		{"half closed at once", func(g *gateway) {
			conn := g.connect()
			_ = conn.CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
		}},
		{"a handshake and no more", func(g *gateway) { g.disconnect(alpnLinkerd) }},
		{"a handshake and no more, on a lane", func(g *gateway) { g.disconnect(alpnLane) }},
		{"a handshake and no more, for a mux", func(g *gateway) { g.disconnect(alpnMux) }},
		{"a handshake and a reset", func(g *gateway) { breakOff(g.T, g.secure(g.credentials(webClient), alpnLinkerd)) }},
		{"a handshake and a reset, on a lane", func(g *gateway) { breakOff(g.T, g.secure(g.credentials(webClient), alpnLane)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := startGateway(t, Options{})
			c.visit(g)
			g.expectMetric(1, "linkspan_gateway_connections_total", "result", "unused")
			if n := g.metric("linkspan_gateway_handshake_failures_total"); n != 0 {
				t.Errorf("%v handshakes were counted as failed", n)
			}
			g.expectSilence()
		})
	}
}

// disconnect makes a handshake and no more.
func (g *gateway) disconnect(alpn string) {
	g.Helper()
	_ = g.secure(g.credentials(webClient), alpn).Close()
}

// expectSilence expects neither a stream nor a line of the log.
func (g *gateway) expectSilence() {
	g.Helper()
	if lines := g.logged(); len(lines) > 0 {
		g.Errorf("streams were told of: %+v", lines)
	}
	if text := g.log.text(); text != "" {
		g.Errorf("the log says %s", text)
	}
}

// The issue: hard limits of time.
func TestASlowHandshakeIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		send func(net.Conn) error
	}{
		{"nothing at all", func(net.Conn) error { return nil }},
		{"half a record", func(conn net.Conn) error {
			_, err := conn.Write([]byte{0x16, 0x03, 0x01, 0x02})
			return err
		}},
		{"a byte now and then", func(conn net.Conn) error {
			record := append([]byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03}, make([]byte, 500)...)
			return drip(conn, record)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := startGateway(t, Options{HandshakeTimeout: 200 * time.Millisecond})
			took := measured(func() {
				conn := g.connect()
				_ = c.send(conn)
				_, _ = io.Copy(io.Discard, conn)
			})
			if took < 150*time.Millisecond || took > patience/2 {
				t.Errorf("given up after %v, want 200ms", took)
			}
			g.expectMetric(1, "linkspan_gateway_handshake_failures_total", "reason", "timeout")
			g.expectMetric(1, "linkspan_gateway_connections_total", "result", "failed")
			g.expectSilence()
		})
	}
}

// drip writes a byte at a time, until that fails.
func drip(conn io.Writer, b []byte) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := range b {
		if _, err := conn.Write(b[i : i+1]); err != nil {
			return err
		}
		<-tick.C
	}
	return nil
}

// GW-12: fast refusal, with a reason of its own.
func TestWhenAllHandshakesAreUnderWayTheNextIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{MaxHandshakes: 3}, func(g *gateway) { g.server.handshakes.grace = time.Hour })
	for range 3 {
		g.connect()
	}
	g.waitFor("three handshakes", func() bool { return g.handshakesUnderWay() == 3 })
	if took := measured(g.expectTurnedAway); took > soon {
		t.Errorf("refused after %v", took)
	}
	g.expectMetric(1, "linkspan_gateway_connections_total", "result", "refused")
	g.expectMetric(1, "linkspan_gateway_handshake_failures_total", "reason", "full")
	if text := g.log.text(); !strings.Contains(text, `"reason"="full"`) {
		t.Errorf("the log says %q", text)
	}
	lines := g.log.count()
	for range 20 {
		g.expectTurnedAway()
	}
	if g.log.count() > lines+1 {
		t.Errorf("20 more refusals made %d lines of the log", g.log.count()-lines)
	}
}

func (g *gateway) handshakesUnderWay() int {
	h := &g.server.handshakes
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.running.Len()
}

// Without this, 26 connections a second that say nothing would keep everybody out.
func TestSlowHandshakesGiveWayToOthers(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{MaxHandshakes: 3}, func(g *gateway) { g.server.handshakes.grace = time.Millisecond })
	g.serveEcho()
	slow := make([]*net.TCPConn, 3)
	for i := range slow {
		slow[i] = g.connect()
		g.waitFor("the handshake to begin", func() bool { return g.handshakesUnderWay() == i+1 })
	}
	g.waitFor("their grace to be over", func() bool { return g.oldestHandshake() > time.Millisecond })
	config := g.credentials(webClient)
	for range 5 {
		s := g.openEcho(ways()[0], config)
		say(t, s, "hello")
		finish(t, s)
	}
	g.expectMetric(1, "linkspan_gateway_handshake_failures_total", "reason", "timeout")
	// The one that was there first had to go, and only that: the place it left was enough for all.
	if n, err := slow[0].Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes", n)
	}
}

func (g *gateway) oldestHandshake() time.Duration {
	h := &g.server.handshakes
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.running.Front().Value.(handshake).since)
}

// What somebody without a certificate sends fills no log.
func TestALongHelloMakesAShortLine(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{}, func(g *gateway) { g.server.deps.Log = g.log.logger(1) })
	var protocols []string
	for i := range 250 {
		protocols = append(protocols, fmt.Sprintf("%d\n\x1b[31m%s", i, strings.Repeat("x", 200)))
	}
	conn := tls.Client(g.connect(), &tls.Config{ServerName: gatewayName, RootCAs: pki.Pool(g.anchor), NextProtos: protocols})
	if err := conn.HandshakeContext(t.Context()); err == nil {
		t.Error("the handshake was made")
	}
	g.waitFor("the line", func() bool { return g.log.count() > 0 })
	if text := g.log.text(); len(text) > 1000 || !strings.Contains(text, "protocol") {
		t.Errorf("a line of %d bytes: %.300s", len(text), text)
	}
}
