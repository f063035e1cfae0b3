package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	pki "github.com/linkspan/linkspan/test/certs"
)

// GW-10: TLS 1.3, certificates on both sides, identities as DNS SANs, the protocol agreed on.
func TestTheTwoSidesKnowEachOther(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	m := p.shake(t)
	m.expectSuccess(t)
	for _, side := range []struct {
		state tls.ConnectionState
		peer  string
	}{{m.server, clientName}, {m.client, gatewayName}} {
		peer, err := PeerIdentity(side.state)
		if err != nil || peer != side.peer {
			t.Errorf("the peer is %q, want %q: %v", peer, side.peer, err)
		}
		if side.state.Version != tls.VersionTLS13 || side.state.NegotiatedProtocol != alpnTransport {
			t.Errorf("version %x, protocol %q", side.state.Version, side.state.NegotiatedProtocol)
		}
	}
	if m.server.ServerName != gatewayName {
		t.Errorf("SNI = %q, want the gateway's identity", m.server.ServerName)
	}
}

// There is one clock for all that is judged, handshakes included.
func TestHandshakesGoByTheClockOfTheStore(t *testing.T) {
	t.Parallel()
	made := pki.For(t)
	anchor := made.Anchor("root")
	from := []pki.Option{pki.NotBefore(time.Now().Add(24 * time.Hour)), pki.NotAfter(time.Now().Add(48 * time.Hour))}
	p := &pair{
		pki: made, anchor: anchor,
		server: newPlace(t, made.Files(made.Leaf(anchor, gatewayName, from...), anchor)),
		client: newPlace(t, made.Files(made.Leaf(anchor, clientName, from...), anchor)),
	}
	for _, side := range []*place{p.server, p.client} {
		side.clock.advance(36 * time.Hour)
		if err := side.Load(); err != nil {
			t.Fatal(err)
		}
	}
	p.shake(t).expectSuccess(t)
}

// The server's order of protocols decides, and a client may offer what the server does not know.
func TestTheServerChoosesTheProtocol(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	server := p.server.Server(alpnMux, alpnTransport)
	for offered, want := range map[string]string{
		alpnTransport: alpnTransport, alpnTransport + " " + alpnMux: alpnMux, "x " + alpnTransport: alpnTransport,
	} {
		m := shake(t, server, p.client.client(gatewayName, strings.Fields(offered)...))
		if m.err() != nil || m.client.NegotiatedProtocol != want {
			t.Errorf("of %q the server chose %q, want %q: %v", offered, m.client.NegotiatedProtocol, want, m.err())
		}
	}
}

// Everyone else is refused, and both sides can count why.
func TestClientsThatAreRefused(t *testing.T) {
	t.Parallel()
	type seen struct{ server, client string }
	for name, c := range map[string]struct {
		client func(p *pair, c *tls.Config)
		want   seen
	}{
		"no certificate": {
			func(_ *pair, c *tls.Config) { c.GetClientCertificate = nil },
			seen{ReasonNoCertificate, ReasonNoCertificate},
		},
		"an unknown authority": {
			func(p *pair, c *tls.Config) { present(c, p.pki.Leaf(p.pki.Anchor("other"), clientName)) },
			seen{ReasonUnknownAuthority, ReasonUnknownAuthority},
		},
		"an authority of the right name and the wrong key": {
			func(p *pair, c *tls.Config) { present(c, p.pki.Leaf(p.pki.Anchor("root"), clientName)) },
			seen{ReasonUnknownAuthority, ReasonUnknownAuthority},
		},
		"an expired certificate": {
			func(p *pair, c *tls.Config) {
				present(c, p.pki.Leaf(p.anchor, clientName, pki.NotAfter(time.Now().Add(-time.Minute))))
			},
			seen{ReasonExpired, ReasonExpired},
		},
		"a certificate of the future": {
			func(p *pair, c *tls.Config) {
				present(c, p.pki.Leaf(p.anchor, clientName, pki.NotBefore(time.Now().Add(time.Hour))))
			},
			seen{ReasonNotYetValid, ReasonExpired}, // RFC 8446 has one alert for both
		},
		"CERT-3: an issuer that may not sign for the name": {
			func(p *pair, c *tls.Config) {
				present(c, p.pki.Leaf(p.pki.Issuer(p.anchor, "west", pki.OnlyFor("west.example")), clientName))
			},
			seen{ReasonNotPermitted, ReasonOther},
		},
		"a certificate for servers only": {
			func(p *pair, c *tls.Config) {
				present(c, p.pki.Leaf(p.anchor, clientName, pki.ExtKeyUsage(x509.ExtKeyUsageServerAuth)))
			},
			seen{ReasonOther, ReasonOther},
		},
		"a certificate without a DNS SAN": {
			func(p *pair, c *tls.Config) { present(c, p.pki.Leaf(p.anchor, clientName, pki.DNSNames())) },
			seen{ReasonNoIdentity, ReasonOther},
		},
		"a wildcard for an identity": {
			func(p *pair, c *tls.Config) { present(c, p.pki.Leaf(p.anchor, clientName, pki.DNSNames("*.example"))) },
			seen{ReasonNoIdentity, ReasonOther},
		},
		"no protocol offered": {
			func(_ *pair, c *tls.Config) { c.NextProtos = nil },
			seen{ReasonNoALPN, ReasonOther},
		},
		"other protocols offered": {
			func(_ *pair, c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} },
			seen{ReasonNoALPN, ReasonNoALPN},
		},
		"an old version of TLS": {
			func(_ *pair, c *tls.Config) { c.MinVersion, c.MaxVersion = 0, tls.VersionTLS12 },
			seen{ReasonProtocolVersion, ReasonProtocolVersion},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			config := stranger(p)
			present(config, p.pki.Leaf(p.anchor, clientName))
			c.client(p, config)
			m := shake(t, p.server.Server(alpnTransport), config)
			got := seen{FailureReason(m.serverErr), FailureReason(m.clientErr)}
			if got != c.want {
				t.Errorf("reasons %+v, want %+v\nserver: %v\nclient: %v", got, c.want, m.serverErr, m.clientErr)
			}
		})
	}
}

// A client shows its certificate also to a server that names other anchors, so that both sides learn
// what is wrong; to send none would look like a client without certificates.
func TestAClientShowsItsCertificateToEveryServer(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	own := p.pki.Anchor("own")
	client := loaded(t, p.pki.Files(p.pki.Leaf(own, clientName), own, p.anchor))
	m := shake(t, p.server.Server(alpnTransport), client.client(gatewayName, alpnTransport))
	if FailureReason(m.serverErr) != ReasonUnknownAuthority || FailureReason(m.clientErr) != ReasonUnknownAuthority {
		t.Errorf("client: %v, server: %v", m.clientErr, m.serverErr)
	}
}

// stranger is a client's configuration that is not made by a Store.
func stranger(p *pair) *tls.Config {
	return &tls.Config{RootCAs: pki.Pool(p.anchor), ServerName: gatewayName, NextProtos: []string{alpnTransport}, MinVersion: tls.VersionTLS13}
}

func present(c *tls.Config, leaf *pki.Leaf) {
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair := leaf.TLS()
		return &pair, nil
	}
}

func TestServersThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server func(p *pair, c *tls.Config)
		want   string
	}{
		"an unknown authority": {
			func(p *pair, c *tls.Config) { serve(c, p.pki.Leaf(p.pki.Anchor("other"), gatewayName)) }, ReasonUnknownAuthority,
		},
		"an expired certificate": {
			func(p *pair, c *tls.Config) {
				serve(c, p.pki.Leaf(p.anchor, gatewayName, pki.NotAfter(time.Now().Add(-time.Minute))))
			}, ReasonExpired,
		},
		"a certificate of the future": {
			func(p *pair, c *tls.Config) {
				serve(c, p.pki.Leaf(p.anchor, gatewayName, pki.NotBefore(time.Now().Add(time.Hour))))
			}, ReasonNotYetValid,
		},
		"an issuer that may not sign for the identity": {
			func(p *pair, c *tls.Config) {
				serve(c, p.pki.Leaf(p.pki.Issuer(p.anchor, "west", pki.OnlyFor("west.example")), gatewayName))
			}, ReasonNotPermitted,
		},
		"an identity of somebody else": {
			func(p *pair, c *tls.Config) { serve(c, p.pki.Leaf(p.anchor, otherName)) }, ReasonWrongName,
		},
		"a wildcard that covers the identity": {
			func(p *pair, c *tls.Config) {
				_, parent, _ := strings.Cut(gatewayName, ".")
				serve(c, p.pki.Leaf(p.anchor, gatewayName, pki.DNSNames("*."+parent)))
			}, ReasonWrongName,
		},
		"no protocol chosen": {
			func(_ *pair, c *tls.Config) { c.NextProtos = nil }, ReasonNoALPN,
		},
		"other protocols": {
			func(_ *pair, c *tls.Config) { c.NextProtos = []string{"h2"} }, ReasonNoALPN,
		},
		"an old version of TLS": {
			func(_ *pair, c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, ReasonProtocolVersion,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			config := &tls.Config{NextProtos: []string{alpnTransport}}
			serve(config, p.pki.Leaf(p.anchor, gatewayName))
			c.server(p, config)
			m := shake(t, config, p.client.client(gatewayName, alpnTransport))
			if got := FailureReason(m.clientErr); got != c.want {
				t.Errorf("reason %s, want %s: %v", got, c.want, m.clientErr)
			}
		})
	}
}

func serve(c *tls.Config, leaf *pki.Leaf) { c.Certificates = []tls.Certificate{leaf.TLS()} }

// The name may be any of the DNS SANs, in any case of letters.
func TestAServerMayHaveSeveralNames(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	config := &tls.Config{NextProtos: []string{alpnTransport}}
	serve(config, p.pki.Leaf(p.anchor, gatewayName, pki.DNSNames(otherName, "GW.Example")))
	shake(t, config, p.client.client("gw.EXAMPLE", alpnTransport)).expectSuccess(t)
}

func TestTransportsThatFail(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	client := p.client.client(gatewayName, alpnTransport)
	for name, c := range map[string]struct {
		serve func(net.Conn, *meeting)
		want  string
	}{
		"the server hangs up": {func(net.Conn, *meeting) {}, ReasonEOF},
		"the server speaks HTTP": {func(conn net.Conn, _ *meeting) {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}, ReasonNotTLS},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if m := meet(t, client, c.serve); FailureReason(m.clientErr) != c.want {
				t.Errorf("reason %s, want %s: %v", FailureReason(m.clientErr), c.want, m.clientErr)
			}
		})
	}
}

// Neither a side that is silent nor one that talks nonsense is waited for or mistaken.
func TestTheServersSideOfFailedTransports(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for name, c := range map[string]struct {
		client func(net.Conn)
		want   string
	}{
		"the client hangs up":    {func(conn net.Conn) { conn.Close() }, ReasonEOF},
		"the client speaks HTTP": {func(conn net.Conn) { _, _ = io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n") }, ReasonNotTLS},
		"the client is silent":   {func(net.Conn) {}, ReasonTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := net.Pipe()
			defer near.Close()
			defer far.Close()
			limit := patience
			if c.want == ReasonTimeout {
				limit = time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			done := make(chan struct{})
			go func() {
				defer close(done)
				c.client(far)
			}()
			err := tls.Server(near, p.server.Server(alpnTransport)).HandshakeContext(ctx)
			if FailureReason(err) != c.want {
				t.Errorf("reason %s, want %s: %v", FailureReason(err), c.want, err)
			}
			far.Close()
			<-done
		})
	}
}

func TestFailureReasonsAreBounded(t *testing.T) {
	t.Parallel()
	if FailureReason(nil) != "" || FailureReason(errors.New("anything")) != ReasonOther {
		t.Errorf("nil is %q, anything is %q", FailureReason(nil), FailureReason(errors.New("anything")))
	}
	if got := FailureReason(context.Canceled); got != ReasonEOF {
		t.Errorf("our own end is %q", got)
	}
	all := FailureReasons()
	sorted := slices.Compact(slices.Sorted(slices.Values(all)))
	if len(sorted) != len(all) || !slices.Contains(all, ReasonOther) {
		t.Errorf("reasons %q", all)
	}
}

// Without certificates nothing is served and nothing is dialed.
func TestNothingWorksBeforeTheFirstLoad(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	empty := newPlace(t, pki.Files{})
	if _, err := empty.Client(gatewayName, alpnTransport); !errors.Is(err, errNotLoaded) {
		t.Errorf("a client without certificates: %v", err)
	}
	if m := shake(t, empty.Server(alpnTransport), p.client.client(gatewayName, alpnTransport)); !errors.Is(m.serverErr, errNotLoaded) {
		t.Errorf("a server without certificates: %v", m.err())
	}
	if empty.Identity() != "" {
		t.Errorf("identity %q", empty.Identity())
	}
	if err := empty.StillTrusted(p.shake(t).server); !errors.Is(err, errNotLoaded) {
		t.Errorf("trusted: %v", err)
	}
}

func TestClientsThatAreNotMade(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for name, c := range map[string]struct {
		server string
		alpn   []string
	}{
		"no server":                {"", []string{alpnTransport}},
		"a wildcard":               {"*.example", []string{alpnTransport}},
		"an address":               {"192.0.2.1", []string{alpnTransport}},
		"no protocol":              {gatewayName, nil},
		"a protocol of no letters": {gatewayName, []string{""}},
	} {
		if _, err := p.client.Client(c.server, c.alpn...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Configurations are shared, so that sessions are, and there is no end of servers only by name.
func TestConfigurationsAreShared(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	first := p.client.client(gatewayName, alpnMux, alpnTransport)
	if again := p.client.client(strings.ToUpper(gatewayName), alpnMux, alpnTransport); again != first {
		t.Error("another configuration for the same server")
	}
	if other := p.client.client(gatewayName, alpnTransport); other == first || other.ClientSessionCache != first.ClientSessionCache {
		t.Error("another protocol should have its own configuration, and the server's sessions")
	}
	mux := p.server.Server(alpnMux)
	if again := p.server.Server(alpnMux); again != mux || mux == p.server.Server(alpnTransport) {
		t.Error("servers of one protocol should share a configuration, of different ones not")
	}
	g := p.client.current.Load()
	for i := range 2 * maxClients {
		p.client.client(strings.Repeat("a", 1+i%60)+"."+strings.Repeat("b", 1+i/60), alpnTransport)
	}
	if len(g.clients) != maxClients || len(g.sessions) != maxClients {
		t.Errorf("%d configurations and %d sessions are kept, want %d", len(g.clients), len(g.sessions), maxClients)
	}
}
