package probe

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
	"testing/synctest"
	"time"

	"github.com/linkspan/linkspan/test/certs"
)

const (
	anchorsText = "the gateway's certificate does not lead to our trust anchors: both clusters need an anchor in common"
	noTLSText   = "the port does not speak TLS: set the Link's gatewayPort to the gateway's port for traffic"
	noALPNText  = "no application protocol (ALPN) was agreed on, so what listens is not a multicluster gateway: " +
		"set the Link's gatewayPort to the gateway's port for traffic"
	otherGateway = `, and must name "` + gatewayName + `": the Link's gatewayIdentity or gatewayAddress is that of another gateway`
	silentText   = "the TLS handshake did not succeed within 2s"
)

// handshakeCase is a gateway, a client and what the probe says.
type handshakeCase struct {
	gateway func(m mesh) behaviour
	// client is nil for the usual one.
	client func(m mesh) *tls.Config
	// step and text are empty for success.
	step Step
	text string
}

// with is a gateway with a configuration of its own.
func with(config func(m mesh) *tls.Config) func(mesh) behaviour {
	return func(m mesh) behaviour { return takesTraffic(config(m), &visits{}) }
}

// always is what needs no certificates.
func always(b behaviour) func(mesh) behaviour { return func(mesh) behaviour { return b } }

func handshakeCases() map[string]handshakeCase {
	good := with(func(m mesh) *tls.Config { return m.gateway() })
	return map[string]handshakeCase{
		"a gateway of the same mesh": {gateway: good},
		"a gateway with more names": {gateway: with(func(m mesh) *tls.Config {
			return m.gateway(certs.DNSNames("other.example", strings.ToUpper(gatewayName)))
		})},
		"a gateway with more protocols": {gateway: with(func(m mesh) *tls.Config {
			config := m.gateway()
			config.NextProtos = []string{"mux.linkspan.io/v1", "transport.l5d.io/v1"}
			return config
		})},
		"a gateway that speaks first": {gateway: func(m mesh) behaviour {
			return shakes(m.gateway(), func(conn *tls.Conn, _ error) { _, _ = conn.Write([]byte("hello")) })
		}},
		"a gateway that never hangs up": {gateway: func(m mesh) behaviour {
			return shakes(m.gateway(), func(conn *tls.Conn, _ error) { _, _ = io.Copy(io.Discard, conn.NetConn()) })
		}},

		"an anchor of its own": {
			gateway: with(func(m mesh) *tls.Config {
				return m.gatewayWith(m.pki.Leaf(m.pki.Issuer(m.pki.Anchor("root"), "east"), gatewayName))
			}),
			step: StepTLS, text: anchorsText,
		},
		"the name of another gateway": {
			gateway: with(func(m mesh) *tls.Config { return m.gateway(certs.DNSNames("west.example", "east.example")) }),
			step:    StepTLS, text: `the certificate names "west.example", "east.example"` + otherGateway,
		},
		"a wildcard": {
			gateway: with(func(m mesh) *tls.Config {
				return m.gateway(certs.DNSNames("*" + strings.TrimPrefix(gatewayName, "linkerd-gateway")))
			}),
			step: StepTLS, text: `the certificate names "*` + strings.TrimPrefix(gatewayName, "linkerd-gateway") + `"` + otherGateway,
		},
		"names made to deceive": {
			gateway: with(func(m mesh) *tls.Config {
				return m.gateway(certs.DNSNames("a\x1b[31m\nb", `","`, strings.Repeat("x", 5000), "d", "e"))
			}),
			step: StepTLS, text: `the certificate names "a??31m?b", "???", "` + strings.Repeat("x", 117) + `...", 2 more` + otherGateway,
		},
		"no name": {
			gateway: with(func(m mesh) *tls.Config { return m.gateway(certs.DNSNames()) }),
			step:    StepTLS, text: "the certificate names no DNS name" + otherGateway,
		},
		// CERT-15: clocks are named with the dates.
		"an expired certificate": {
			gateway: with(func(m mesh) *tls.Config { return m.gateway(certs.NotAfter(time.Now().Add(-time.Minute))) }),
			step:    StepTLS, text: "the gateway's certificate expired at 1999-12-31T23:59:00Z: renew it, unless our clock is wrong",
		},
		"a certificate of the future": {
			gateway: with(func(m mesh) *tls.Config { return m.gateway(certs.NotBefore(time.Now().Add(time.Minute))) }),
			step:    StepTLS, text: "the gateway's certificate is not valid before 2000-01-01T00:01:00Z: it is likely that the clocks of the clusters differ",
		},
		// CERT-16: what signs new certificates has expired, the last one that it signed has not.
		"an expired issuer": {
			gateway: with(func(m mesh) *tls.Config {
				return m.gatewayWith(m.pki.Leaf(m.pki.Issuer(m.anchor, "east", certs.NotAfter(time.Now().Add(-time.Minute))), gatewayName))
			}),
			step: StepTLS, text: "an issuer of the gateway's certificate expired at 1999-12-31T23:59:00Z: renew it, unless our clock is wrong",
		},
		"a certificate for clients only": {
			gateway: with(func(m mesh) *tls.Config { return m.gateway(certs.ExtKeyUsage(x509.ExtKeyUsageClientAuth)) }),
			step:    StepTLS, text: "the gateway's certificate is not valid: x509: certificate specifies an incompatible key usage",
		},

		"no protocol": {
			gateway: with(func(m mesh) *tls.Config { c := m.gateway(); c.NextProtos = nil; return c }),
			step:    StepTLS, text: noALPNText,
		},
		"another protocol": {
			gateway: with(func(m mesh) *tls.Config { c := m.gateway(); c.NextProtos = []string{"h2"}; return c }),
			step:    StepTLS, text: noALPNText,
		},
		"TLS 1.2": {
			gateway: with(func(m mesh) *tls.Config {
				c := m.gateway()
				c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
				return c
			}),
			step: StepTLS, text: "the port does not speak TLS 1.3, so what listens is not a multicluster gateway",
		},
		"TLS 1.2, where the client would": {
			gateway: with(func(m mesh) *tls.Config {
				c := m.gateway()
				c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
				return c
			}),
			client: func(m mesh) *tls.Config { c := m.client(); c.MinVersion = tls.VersionTLS12; return c },
			step:   StepTLS, text: "the port does not speak TLS 1.3, so what listens is not a multicluster gateway",
		},
		"other checks of the client's configuration": {
			gateway: good,
			client: func(m mesh) *tls.Config {
				c := m.client()
				c.VerifyConnection = func(tls.ConnectionState) error { return errors.New("not today\n" + strings.Repeat("x", 5000)) }
				return c
			},
			step: StepTLS, text: "the handshake failed: not today?" + strings.Repeat("x", maxErrorLength-13) + "...",
		},

		// The gateway's word comes after the client's handshake (RFC 8446, section 4.4).
		"no client certificate": {
			gateway: good,
			client:  func(m mesh) *tls.Config { c := m.client(); c.Certificates = nil; return c },
			step:    StepTLS, text: "the gateway asks for a client certificate that leads to its trust anchors, and probes have none",
		},
		"a client of another mesh": {
			gateway: good,
			client: func(m mesh) *tls.Config {
				stranger := meshOf(m.pki).client()
				stranger.RootCAs = certs.Pool(m.anchor)
				return stranger
			},
			step: StepTLS, text: "the gateway refused our certificate: it does not lead to the gateway's trust anchors; both clusters need an anchor in common",
		},
		"a client whose certificate has expired": {
			gateway: good,
			client:  func(m mesh) *tls.Config { return m.client(certs.NotAfter(time.Now().Add(-time.Minute))) },
			step:    StepTLS, text: "the gateway refused our certificate: it is expired or not yet valid by the gateway's clock",
		},
		"a client that the gateway does not like": {
			gateway: with(func(m mesh) *tls.Config {
				c := m.gateway()
				c.VerifyConnection = func(tls.ConnectionState) error { return errors.New("no") }
				return c
			}),
			step: StepTLS, text: "the gateway refused our certificate: bad certificate",
		},

		"nobody listens":   {gateway: always(refuses), step: StepConnect, text: "connection refused"},
		"SYN drop":         {gateway: always(drops), step: StepTimeout, text: "connecting did not succeed within 2s"},
		"closes at once":   {gateway: always(serves(func(net.Conn) {})), step: StepTLS, text: "the handshake failed: io: read/write on closed pipe"},
		"closes when told": {gateway: always(says()), step: StepTLS, text: "the connection was closed during the handshake"},
		"closes midway":    {gateway: always(says("\x16\x03\x03\x00\x7a")), step: StepTLS, text: "the connection was closed during the handshake"},
		"HTTP":             {gateway: always(says("HTTP/1.1 400 Bad Request\r\n\r\n")), step: StepTLS, text: noTLSText},
		"SSH":              {gateway: always(says("SSH-2.0-OpenSSH_9.9\r\n")), step: StepTLS, text: noTLSText},
		"an alert nobody knows": {
			gateway: always(says("\x15\x03\x03\x00\x02\x02\xc8")), step: StepTLS, text: "the gateway ended the handshake: alert(200)",
		},
		"a name that is not served": {
			gateway: always(says("\x15\x03\x03\x00\x02\x02\x70")), step: StepTLS, text: `the port serves other names than "` + gatewayName + `"`,
		},
		"nonsense in TLS": {
			gateway: always(says("\x16\x03\x03\x00\x04\x63\x00\x00\x00")), step: StepTLS,
			text: "the handshake failed: tls: unexpected message",
		},
		// LESSON-60: it accepts, and never answers.
		"silent":           {gateway: always(serves(drains)), step: StepTimeout, text: silentText},
		"does not read":    {gateway: always(serves(func(conn net.Conn) { _, _ = conn.Write([]byte("x")) })), step: StepTimeout, text: silentText},
		"silent midway":    {gateway: always(says("\x16\x03\x03\x00\x7a\x02", hush)), step: StepTimeout, text: silentText},
		"a byte at a time": {gateway: always(serves(dribbles)), step: StepTimeout, text: silentText},
	}
}

// hush ends what says says with silence, instead of the end of the connection.
const hush = ""

// says waits for the client's hello, and answers with parts whatever it was.
func says(parts ...string) behaviour {
	return serves(func(conn net.Conn) {
		if _, err := conn.Read(make([]byte, 64<<10)); err != nil {
			return
		}
		for _, part := range parts {
			if part == hush {
				drains(conn)
				return
			}
			if _, err := io.WriteString(conn, part); err != nil {
				return
			}
		}
	})
}

// drains reads, and says nothing, until the other side has gone.
func drains(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// dribbles is never done with its first record, and never silent.
func dribbles(conn net.Conn) {
	if _, err := conn.Read(make([]byte, 64<<10)); err != nil {
		return
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		drains(conn)
	}()
	_, err := io.WriteString(conn, "\x16\x03\x03\x10\x00")
	for err == nil {
		select {
		case <-gone:
			return
		case <-time.After(time.Second / 10):
			_, err = io.WriteString(conn, "\x02")
		}
	}
}

// PROBE-6, GW-10: a good HTTP answer is not enough, and what is wrong with the handshake is said by
// name. LESSON-60: whatever the gateway does, the probe ends in time and leaves no connection behind.
func TestHandshake(t *testing.T) {
	for name, tc := range handshakeCases() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMesh(t)
				fake := newNetwork()
				fake.set("192.0.2.1:4191", alive)
				fake.set("192.0.2.1:4143", tc.gateway(m))
				config := m.client()
				if tc.client != nil {
					config = tc.client(m)
				}
				started := time.Now()

				_, err := check(t.Context(), fake.dial, checkTarget(), checkHandshake(config))

				if took := time.Since(started); took > checkTimeout {
					t.Errorf("took %v, want at most %v", took, checkTimeout)
				}
				if n := fake.opened(); n != 0 {
					t.Errorf("%d connections left open", n)
				}
				checkErrorAt(t, err, "192.0.2.1:4143", tc.step, tc.text)
				checkText(t, err)
			})
		})
	}
}

// checkText asks for what a Link's status can bear, whatever a hostile gateway had in mind.
func checkText(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if n := len(err.Error()); n > 1024 {
		t.Errorf("a text of %d bytes", n)
	}
	if i := strings.IndexFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
		t.Errorf("the text has a character at %d that is not printable ASCII: %q", i, err.Error())
	}
}

// The HTTP probe comes first, and its failure is the probe's.
func TestHandshakeComesAfterHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newNetwork()
		fake.set("192.0.2.1:4191", unavailable)
		_, err := check(t.Context(), fake.dial, checkTarget(), checkHandshake(newMesh(t).client()))
		checkError(t, err, StepHTTP, "status 503 Service Unavailable")
		if n := fake.dialed("192.0.2.1:4143"); n != 0 {
			t.Errorf("%d handshakes with a gateway that is not ready", n)
		}
	})
}

// Both parts share one timeout. The latency is that of the HTTP answer, as everywhere (PROBE-5).
func TestHandshakeSharesTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		slowly := func(b behaviour) behaviour {
			return func(ctx context.Context) (net.Conn, error) {
				<-time.After(checkTimeout * 3 / 4)
				return b(ctx)
			}
		}
		fake := newNetwork()
		fake.set("192.0.2.1:4191", slowly(alive))
		fake.set("192.0.2.1:4143", takesTraffic(m.gateway(), &visits{}))
		found, err := check(t.Context(), fake.dial, checkTarget(), checkHandshake(m.client()))
		if err != nil || found.latency != checkTimeout*3/4 {
			t.Errorf("latency %v, error %v", found.latency, err)
		}

		fake.set("192.0.2.1:4143", always(serves(drains))(m))
		started := time.Now()
		_, err = check(t.Context(), fake.dial, checkTarget(), checkHandshake(m.client()))
		checkErrorAt(t, err, "192.0.2.1:4143", StepTimeout, silentText)
		if took := time.Since(started); took != checkTimeout {
			t.Errorf("took %v, want %v", took, checkTimeout)
		}
	})
}

// The end of the caller's context says nothing about the gateway.
func TestHandshakeCancelled(t *testing.T) {
	for name, does := range map[string]behaviour{"dialing": drops, "shaking hands": serves(drains)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newNetwork()
				fake.set("192.0.2.1:4191", alive)
				fake.set("192.0.2.1:4143", does)
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				started := time.Now()
				_, err := check(ctx, fake.dial, checkTarget(), checkHandshake(newMesh(t).client()))
				if _, ok := errors.AsType[*Error](err); ok || !errors.Is(err, context.Canceled) {
					t.Errorf("error = %v, want only the context's", err)
				}
				if took := time.Since(started); took != time.Second || fake.opened() != 0 {
					t.Errorf("took %v and left %d connections open, want 1s and none", took, fake.opened())
				}
			})
		})
	}
}

// compat-linkerd, section 6: what a gateway sees of a probe is the beginning of a client's connection
// and then an orderly end, which it need not report as an error. CERT-16: each time anew.
func TestHandshakeAsTheGatewaySeesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		var seen visits
		fake := newNetwork()
		fake.set("192.0.2.1:4191", alive)
		fake.set("192.0.2.1:4143", takesTraffic(m.gateway(), &seen))
		config := m.client()
		for range 3 {
			if _, err := check(t.Context(), fake.dial, checkTarget(), checkHandshake(config)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if config.ServerName != "" || config.NextProtos != nil || config.ClientSessionCache == nil {
			t.Error("the configuration was changed, and it is shared")
		}
		if len(seen.all()) != 3 {
			t.Fatalf("the gateway saw %d connections of 3 probes", len(seen.all()))
		}
		for _, v := range seen.all() {
			if v.handshake != nil || !errors.Is(v.header, io.EOF) || errors.Is(v.header, io.ErrUnexpectedEOF) {
				t.Errorf("handshake %v, header %v; want a good one, and its end", v.handshake, v.header)
			}
			if v.state.ServerName != gatewayName || v.state.NegotiatedProtocol != "transport.l5d.io/v1" || v.state.Version != tls.VersionTLS13 {
				t.Errorf("asked for %s by %q with version %x", v.state.ServerName, v.state.NegotiatedProtocol, v.state.Version)
			}
			if v.state.DidResume {
				t.Error("the session was resumed")
			}
			if len(v.state.PeerCertificates) == 0 || !slices.Contains(v.state.PeerCertificates[0].DNSNames, clientName) {
				t.Error("the probe did not show its certificate")
			}
		}
	})
}

// CERT-16: a server that would resume sessions is no way around the check of its new certificate.
func TestHandshakeSeesAnExpiryAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		fake := newNetwork()
		fake.set("192.0.2.1:4191", alive)
		fake.set("192.0.2.1:4143", takesTraffic(m.gateway(certs.NotAfter(time.Now().Add(time.Minute))), &visits{}))
		next := checkHandshake(m.client())
		if _, err := check(t.Context(), fake.dial, checkTarget(), next); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute + time.Second)
		_, err := check(t.Context(), fake.dial, checkTarget(), next)
		checkErrorAt(t, err, "192.0.2.1:4143", StepTLS,
			"the gateway's certificate expired at 2000-01-01T00:01:00Z: renew it, unless our clock is wrong")
	})
}

// The clock that judges certificates is the configuration's.
func TestHandshakeJudgesByTheGivenClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		fake := newNetwork()
		fake.set("192.0.2.1:4191", alive)
		fake.set("192.0.2.1:4143", takesTraffic(m.gateway(), &visits{}))
		config := m.client()
		config.Time = func() time.Time { return time.Now().Add(-2 * time.Hour) }
		_, err := check(t.Context(), fake.dial, checkTarget(), checkHandshake(config))
		checkErrorAt(t, err, "192.0.2.1:4143", StepTLS,
			"the gateway's certificate is not valid before 1999-12-31T23:00:00Z: it is likely that the clocks of the clusters differ")
	})
}

// A gateway may be certified by the anchor itself, which nobody sends.
func TestExpiryOfAChainWithoutIssuer(t *testing.T) {
	m := newMesh(t)
	leaf, anchor := m.pki.Leaf(m.anchor, gatewayName).Certificate, m.anchor.Certificate
	cases := map[string]struct {
		sent     []*x509.Certificate
		verified [][]*x509.Certificate
		want     expiry
	}{
		"the anchor is the issuer":     {[]*x509.Certificate{leaf}, [][]*x509.Certificate{{leaf, anchor}}, expiry{leaf.NotAfter, anchor.NotAfter}},
		"verified in a way of its own": {[]*x509.Certificate{leaf, m.target.Certificate}, nil, expiry{leaf.NotAfter, m.target.Certificate.NotAfter}},
		"only a leaf":                  {[]*x509.Certificate{leaf}, nil, expiry{leaf: leaf.NotAfter}},
		"nothing":                      {nil, nil, expiry{}},
	}
	for name, tc := range cases {
		if got := expiryOf(tc.sent, tc.verified); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestHandshakeKeepsTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		fake := newNetwork()
		fake.set("192.0.2.1:4191", alive)
		fake.set("192.0.2.1:4143", takesTraffic(meshOf(m.pki).gateway(), &visits{}))
		_, err := check(t.Context(), fake.dial, checkTarget(), checkHandshake(m.client()))
		if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
			t.Errorf("error %v does not wrap its cause", err)
		}
	})
}

// Whatever names a certificate has, the text that quotes them is short and harmless.
func FuzzNamesOf(f *testing.F) {
	f.Add("linkerd-gateway.example,west.example")
	f.Add("")
	f.Add("\x00\x1b]0;title\a,\u202eevil\xff,a\"b\\")
	f.Add(strings.Repeat("x", 300) + strings.Repeat(",y", 300))
	f.Fuzz(func(t *testing.T, names string) {
		text := wrongNameText([]*x509.Certificate{{DNSNames: strings.Split(names, ",")}}, gatewayName)
		checkText(t, errors.New(text))
		if quotes := strings.Count(text, `"`); quotes > 2*(maxNames+1) || quotes%2 != 0 {
			t.Errorf("names end their own quotes: %s", text)
		}
		checkText(t, errors.New(cleaned(names)))
	})
}
