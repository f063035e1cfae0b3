package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/test/certs"
)

// inMesh runs test with Gateways that are started, and a gateway at 192.0.2.1 that works.
func inMesh(t *testing.T, test func(t *testing.T, m mesh, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		b := newBubble(t, configs(m.client()))
		b.net.set("192.0.2.1:4191", alive)
		b.net.set("192.0.2.1:4143", takesTraffic(m.gateway(), &visits{}))
		b.start()
		defer b.stop()
		test(t, m, b)
	})
}

// An address is alive only if it answers and proves who it is. Thresholds are the same for both.
func TestAGatewayMustProveItself(t *testing.T) {
	inMesh(t, func(t *testing.T, m mesh, b *bubble) {
		b.net.set("192.0.2.2:4191", alive)
		b.net.set("192.0.2.2:4143", takesTraffic(meshOf(m.pki).gateway(), &visits{}))
		b.g.Set(tlsLink("192.0.2.1", "192.0.2.2"))
		b.advance(0)
		b.expectStates("east", map[string]State{"192.0.2.1": Alive, "192.0.2.2": Unknown})
		b.advance(3 * period)
		b.expectStates("east", map[string]State{"192.0.2.1": Alive, "192.0.2.2": Dead})

		addrs, _ := b.g.Addresses("east")
		if diff := cmp.Diff("192.0.2.2:4143: tls: "+anchorsText, addrs[1].LastError); diff != "" {
			t.Errorf("last error (-want +got):\n%s", diff)
		}
		if n := b.value("linkspan_gateway_address_probe_failures_total", map[string]string{"address": "192.0.2.2", "step": "tls"}); n < 3 {
			t.Errorf("%v failures by step tls, want at least 3", n)
		}

		b.net.set("192.0.2.2:4143", takesTraffic(m.gateway(), &visits{}))
		b.advance(3 * period)
		b.expectStates("east", map[string]State{"192.0.2.1": Alive, "192.0.2.2": Alive})
	})
}

// Plain HTTP probes stay what they were: without configurations, and for a gateway without identity.
func TestNoHandshakeWithoutTLSOrIdentity(t *testing.T) {
	cases := map[string]struct {
		options []Option
		link    link.Link
	}{
		"no TLS":      {nil, tlsLink("192.0.2.1")},
		"nil":         {[]Option{WithTLS(nil)}, tlsLink("192.0.2.1")},
		"no identity": {[]Option{configs(&tls.Config{MinVersion: tls.VersionTLS13})}, testLink("192.0.2.1")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, tc.options...)
				b.start()
				defer b.stop()
				b.net.set("192.0.2.1:4191", alive)
				b.g.Set(tc.link)
				b.advance(10 * period)
				b.expectStates("east", map[string]State{"192.0.2.1": Alive})
				if n := b.net.dialed("192.0.2.1:4143"); n != 0 {
					t.Errorf("%d connections to the port for traffic", n)
				}
			})
		})
	}
}

// A fault of our own certificates takes no gateway away and brings none: it is said, once.
func TestOurOwnFaultMovesNoVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		var faulty atomic.Bool
		config := m.client()
		b := newBubble(t, WithTLS(func(server string) (*tls.Config, error) {
			if server != gatewayName {
				t.Errorf("asked for %q", server)
			}
			if faulty.Load() {
				return nil, errors.New("the certificate in /tls/tls.crt expired\n: renew it")
			}
			return config, nil
		}))
		for _, ip := range []string{"192.0.2.1", "192.0.2.2"} {
			b.net.set(ip+":4191", alive)
			b.net.set(ip+":4143", takesTraffic(m.gateway(), &visits{}))
		}
		b.start()
		defer b.stop()
		b.g.Set(tlsLink("192.0.2.1", "192.0.2.2"))
		b.advance(5 * period)
		b.takeChanges()

		faulty.Store(true)
		b.net.set("192.0.2.3:4191", alive)
		b.net.set("192.0.2.3:4143", takesTraffic(m.gateway(), &visits{}))
		b.advance(20 * period)
		b.expectStates("east", map[string]State{"192.0.2.1": Alive, "192.0.2.2": Alive})
		b.expectChanges("east") // once, not with each probe of each address
		const text = "no TLS handshake could be tried: the certificate in /tls/tls.crt expired?: renew it"
		problems := b.g.Problems("east")
		if len(problems) != 1 || problems[0].Error() != text {
			t.Errorf("problems = %v, want %q", problems, text)
		}
		if addrs, _ := b.g.Addresses("east"); addrs[0].LastError != "192.0.2.1:4143: tls: "+text {
			t.Errorf("last error = %q", addrs[0].LastError)
		}

		// A new address gets no verdict from half a probe, and one that does not answer is dead.
		b.net.set("192.0.2.2:4191", refuses)
		b.g.Set(tlsLink("192.0.2.1", "192.0.2.2", "192.0.2.3"))
		b.advance(4 * period)
		b.expectStates("east", map[string]State{"192.0.2.1": Alive, "192.0.2.2": Dead, "192.0.2.3": Unknown})

		b.takeChanges()
		faulty.Store(false)
		b.advance(4 * period)
		b.expectStates("east", map[string]State{"192.0.2.1": Alive, "192.0.2.2": Dead, "192.0.2.3": Alive})
		if problems := b.g.Problems("east"); len(problems) != 0 || len(b.takeChanges()) == 0 {
			t.Errorf("problems = %v, want none, and that to be announced", problems)
		}
	})
}

// A fault of ours is not kept for a Link that has no use for TLS any more.
func TestOurOwnFaultGoesWithTheIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, WithTLS(func(string) (*tls.Config, error) { return nil, errors.New("no files") }))
		b.net.set("192.0.2.1:4191", alive)
		b.start()
		defer b.stop()
		b.g.Set(tlsLink("192.0.2.1"))
		b.advance(0)
		if n := len(b.g.Problems("east")); n != 1 {
			t.Errorf("%d problems, want 1", n)
		}
		b.g.Set(testLink("192.0.2.1"))
		b.advance(0)
		b.expectStates("east", map[string]State{"192.0.2.1": Alive})
		if problems := b.g.Problems("east"); len(problems) != 0 {
			t.Errorf("problems = %v, want none", problems)
		}
	})
}

// LESSON-17: the port and the identity come from the Link. A change is followed at once, and the
// verdict stays until the threshold is reached anew.
func TestHandshakeSettingsAreFollowed(t *testing.T) {
	cases := map[string]struct {
		edit func(*link.Gateway)
		step Step
	}{
		"port":     {func(gw *link.Gateway) { gw.Port = 30143 }, StepConnect},
		"identity": {func(gw *link.Gateway) { gw.Identity = "west.example" }, StepTLS},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			inMesh(t, func(t *testing.T, _ mesh, b *bubble) {
				b.g.Set(tlsLink("192.0.2.1"))
				b.advance(10 * period)
				b.takeChanges()
				probes := b.net.dialed("192.0.2.1:4191")
				b.g.Set(changedLink(tlsLink("192.0.2.1"), tc.edit))
				b.advance(0)
				if n := b.net.dialed("192.0.2.1:4191") - probes; n != 1 {
					t.Errorf("%d probes at once, want 1", n)
				}
				b.expectStates("east", map[string]State{"192.0.2.1": Alive})
				b.expectChanges()
				b.advance(3 * period)
				b.expectStates("east", map[string]State{"192.0.2.1": Dead})
				failures := map[string]string{"address": "192.0.2.1", "step": string(tc.step)}
				if n := b.value("linkspan_gateway_address_probe_failures_total", failures); n < 3 {
					t.Errorf("%v failures of step %s, want at least 3", n, tc.step)
				}
			})
		})
	}
}

// LESSON-60: a loop that waits in a handshake ends at once.
func TestStopIsImmediateInAHandshake(t *testing.T) {
	inMesh(t, func(t *testing.T, m mesh, b *bubble) {
		b.net.set("192.0.2.1:4143", serves(drains))
		b.net.set("192.0.2.2:4191", alive)
		b.net.set("192.0.2.2:4143", shakes(m.gateway(), func(conn *tls.Conn, _ error) { drains(conn.NetConn()) }))
		b.g.Set(tlsLink("192.0.2.1", "192.0.2.2"))
		b.advance(time.Second)
		started := time.Now()
		b.stop() // also counts connections
		if took := time.Since(started); took != 0 {
			t.Errorf("stopped after %v, want at once", took)
		}
	})
}

// CERT-7: when the gateway's certificates expire, the soonest of all its addresses.
func TestExpiryIsAMetric(t *testing.T) {
	const name = "linkspan_probe_gateway_certificate_expiry_timestamp_seconds"
	inMesh(t, func(t *testing.T, m mesh, b *bubble) {
		expect := func(certificate string, want time.Time) {
			t.Helper()
			labels := map[string]string{labelCluster: "east", labelCertificate: certificate}
			if got := b.value(name, labels); got != float64(want.Unix()) {
				t.Errorf("%s expires at %v, want %v", certificate, time.Unix(int64(got), 0).UTC(), want)
			}
		}
		day := time.Now().Add(24 * time.Hour)
		b.g.Set(tlsLink("192.0.2.1"))
		b.advance(0)
		expect("leaf", day)
		expect("issuer", m.target.Certificate.NotAfter)

		hour := time.Now().Add(time.Hour)
		b.net.set("192.0.2.2:4191", alive)
		b.net.set("192.0.2.2:4143", takesTraffic(m.gateway(certs.NotAfter(hour)), &visits{}))
		b.g.Set(tlsLink("192.0.2.1", "192.0.2.2"))
		b.advance(0)
		expect("leaf", hour)

		// Who is not the gateway says nothing about it, nor does who does not answer.
		b.net.set("192.0.2.2:4143", takesTraffic(m.gateway(certs.DNSNames("other.example"), certs.NotAfter(time.Now().Add(time.Minute))), &visits{}))
		b.advance(2 * period)
		expect("leaf", hour)
		b.net.set("192.0.2.2:4143", refuses)
		b.advance(2 * period)
		expect("leaf", hour)

		// A certificate that has expired is one that an alert must see.
		past := time.Now().Add(-time.Minute)
		b.net.set("192.0.2.2:4143", takesTraffic(m.gateway(certs.NotAfter(past)), &visits{}))
		b.advance(2 * period)
		expect("leaf", past.Truncate(time.Second))
		expired := m.pki.Issuer(m.anchor, "east", certs.NotAfter(past))
		b.net.set("192.0.2.2:4143", takesTraffic(m.gatewayWith(m.pki.Leaf(expired, gatewayName)), &visits{}))
		b.advance(2 * period)
		expect("issuer", past.Truncate(time.Second))

		b.g.Set(tlsLink("192.0.2.1"))
		b.advance(0)
		expect("leaf", day)
	})
}

// LESSON-59: the series go with the identity, with the gateway and with the Link.
func TestExpirySeriesGo(t *testing.T) {
	const name = "linkspan_probe_gateway_certificate_expiry_timestamp_seconds"
	cases := map[string]struct {
		change func(b *bubble)
		left   int
	}{
		"with the identity":        {func(b *bubble) { b.g.Set(testLink("192.0.2.1")) }, 0},
		"with another identity":    {func(b *bubble) { b.g.Set(changedLink(tlsLink("192.0.2.1"), renameGateway)) }, 0},
		"with the gateway":         {func(b *bubble) { b.g.Set(link.Link{Name: "east", Cluster: "east"}) }, 0},
		"with its last address":    {func(b *bubble) { b.g.Set(tlsLink("192.0.2.9")) }, 0},
		"with the Link":            {func(b *bubble) { b.g.Remove("east") }, 0},
		"not with another address": {func(b *bubble) { b.g.Set(tlsLink("192.0.2.1", "192.0.2.9")) }, 2},
	}
	for sentence, tc := range cases {
		t.Run(sentence, func(t *testing.T) {
			inMesh(t, func(t *testing.T, _ mesh, b *bubble) {
				b.g.Set(tlsLink("192.0.2.1"))
				b.advance(0)
				if n := b.series(name); n != 2 {
					t.Fatalf("%d series, want leaf and issuer", n)
				}
				tc.change(b)
				b.advance(5 * period)
				if n := b.series(name); n != tc.left {
					t.Errorf("%d series left, want %d", n, tc.left)
				}
			})
		})
	}
}

func renameGateway(gw *link.Gateway) { gw.Identity = "west.example" }

// By real sockets, where an alert and the end of the connection race each other: every refusal is
// seen, no good probe is failed, and no descriptor is left behind (LESSON-60).
func TestHandshakesByRealSockets(t *testing.T) {
	const rounds = 100
	m := newMesh(t)
	ready := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer ready.Close()
	target := serverTarget(t, ready, "/ready")
	good := listenTLS(t, m.gateway())
	stranger := meshOf(m.pki).client()
	stranger.RootCAs = certs.Pool(m.anchor)
	known := m.client()
	dial := new(net.Dialer).DialContext

	before := descriptors(t)
	for range rounds {
		if _, err := check(t.Context(), dial, target, &handshake{address: good, identity: gatewayName, config: known}); err != nil {
			t.Fatal(err)
		}
		_, err := check(t.Context(), dial, target, &handshake{address: good, identity: gatewayName, config: stranger})
		if err == nil || !strings.Contains(err.Error(), "refused our certificate: it does not lead") {
			t.Fatalf("error = %v, want the gateway's refusal", err)
		}
		_, err = check(t.Context(), dial, target, &handshake{address: good, identity: "west.example", config: known})
		if err == nil || !strings.Contains(err.Error(), "the certificate names") {
			t.Fatalf("error = %v, want the wrong name", err)
		}
	}
	// The servers may need a moment for their last few.
	if after := descriptors(t); after > before+20 {
		t.Errorf("%d descriptors after %d probes, %d before", after, 3*rounds, before)
	}
}

// LESSON-60: a host that accepts and never answers costs one connection while a probe lasts, and
// nothing afterwards. By a real socket, whose queue takes connections that nobody serves.
func TestASilentHostLeavesNothingBehind(t *testing.T) {
	ready := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer ready.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	target := serverTarget(t, ready, "/ready")
	target.Timeout = 50 * time.Millisecond
	next := &handshake{address: netip.MustParseAddrPort(silent.Addr().String()), identity: gatewayName, config: newMesh(t).client()}
	before := descriptors(t)
	for range 20 {
		if _, err := check(t.Context(), new(net.Dialer).DialContext, target, next); stepOf(err) != StepTimeout {
			t.Fatalf("error = %v, want a timeout", err)
		}
	}
	if after := descriptors(t); after > before+5 {
		t.Errorf("%d descriptors after 20 probes, %d before", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("this system does not list descriptors: %v", err)
	}
	return len(entries)
}

// listenTLS is a gateway on a real port: handshake, wait for a header, hang up.
func listenTLS(t *testing.T, config *tls.Config) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			running.Go(func() {
				server := tls.Server(conn, config)
				defer closeConn(server)
				if server.HandshakeContext(ctx) == nil {
					_, _ = server.Read(make([]byte, 1))
				}
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		listener.Close()
		running.Wait()
	})
	return netip.MustParseAddrPort(listener.Addr().String())
}
