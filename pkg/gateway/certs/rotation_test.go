package certs

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pki "github.com/linkspan/linkspan/test/certs"
)

// traffic is connections made one after the other, by a few callers at once, for as long as a test runs.
type traffic struct {
	pair *pair
	made atomic.Int64
	end  chan struct{}
	wg   sync.WaitGroup
}

const callers = 3

func startTraffic(t *testing.T, p *pair) *traffic {
	t.Helper()
	tr := &traffic{pair: p, end: make(chan struct{})}
	for range callers {
		tr.wg.Go(func() {
			for {
				select {
				case <-tr.end:
					return
				default:
				}
				m := shake(t, p.server.Server(alpnTransport), p.client.client(gatewayName, alpnTransport))
				if err := m.err(); err != nil {
					t.Errorf("a connection was lost: %v", err)
				}
				tr.made.Add(1)
			}
		})
	}
	return tr
}

// stop ends the traffic, before the test's context ends.
func (tr *traffic) stop() {
	close(tr.end)
	tr.wg.Wait()
}

// settle waits until every connection that was being made is through.
func (tr *traffic) settle() {
	enough := tr.made.Load() + 2*callers
	tr.pair.server.waitFor("more connections", func() bool { return tr.made.Load() >= enough })
}

// rotate gives one side other files, and waits until they are in force and in use.
func (tr *traffic) rotate(side *place, files pki.Files) {
	side.Helper()
	before := side.current.Load()
	pki.For(side.T).Project(files, side.dir)
	side.waitFor("the new files", func() bool { return side.current.Load() != before })
	tr.settle()
}

// newRunningPair is newPair with files as the kubelet mounts them, followed by running stores.
func newRunningPair(t *testing.T) (*pair, *traffic) {
	t.Helper()
	made := pki.For(t)
	anchor := made.Anchor("root")
	p := &pair{
		pki: made, anchor: anchor,
		server: mounted(t, made.Files(made.Leaf(made.Issuer(anchor, "east"), gatewayName), anchor)),
		client: mounted(t, made.Files(made.Leaf(made.Issuer(anchor, "west"), clientName), anchor)),
	}
	return p, startTraffic(t, p)
}

func mounted(t *testing.T, files pki.Files) *place {
	t.Helper()
	dir := t.TempDir()
	pki.For(t).Project(files, dir)
	p := newPlace(t, pki.Files{}, func(o *Options) {
		paths := optionsFor(dir)
		o.CertFile, o.KeyFile, o.AnchorsFile = paths.CertFile, paths.KeyFile, paths.AnchorsFile
	})
	p.dir = dir
	if err := p.Load(); err != nil {
		t.Fatal(err)
	}
	p.start()
	return p
}

// CERT-9: a renewed leaf is taken into use without losing a connection.
func TestALeafIsRotatedWithoutLosingAConnection(t *testing.T) {
	t.Parallel()
	p, tr := newRunningPair(t)
	defer tr.stop()
	for range 3 {
		tr.rotate(p.server, p.pki.Files(p.pki.Leaf(p.pki.Issuer(p.anchor, "east"), gatewayName), p.anchor))
		tr.rotate(p.client, p.pki.Files(p.pki.Leaf(p.pki.Issuer(p.anchor, "west"), clientName), p.anchor))
	}
}

// CERT-12: add the new anchor everywhere, issue everything under it, drop the old one everywhere. The
// two sides do each step at different times, in either order.
func TestAnAnchorIsRotatedWithoutLosingAConnection(t *testing.T) {
	t.Parallel()
	p, tr := newRunningPair(t)
	defer tr.stop()
	// Whoever is up to a step goes through it alone, while the other side is still at the one before.
	serverLeaf, clientLeaf := p.pki.Leaf(p.pki.Issuer(p.anchor, "east"), gatewayName), p.pki.Leaf(p.pki.Issuer(p.anchor, "west"), clientName)
	next := p.pki.Anchor("root of next year")
	tr.rotate(p.server, p.pki.Files(serverLeaf, p.anchor, next))
	tr.rotate(p.client, p.pki.Files(clientLeaf, p.anchor, next))

	open := p.shake(t) // this one stays open, as it were
	newServerLeaf, newClientLeaf := p.pki.Leaf(p.pki.Issuer(next, "east"), gatewayName), p.pki.Leaf(p.pki.Issuer(next, "west"), clientName)
	tr.rotate(p.client, p.pki.Files(newClientLeaf, p.anchor, next))
	tr.rotate(p.server, p.pki.Files(newServerLeaf, p.anchor, next))
	if err := p.server.StillTrusted(open.server); err != nil {
		t.Errorf("while both anchors are in force: %v", err)
	}

	tr.rotate(p.server, p.pki.Files(newServerLeaf, next))
	tr.rotate(p.client, p.pki.Files(newClientLeaf, next))
	if err := p.server.StillTrusted(open.server); FailureReason(err) != ReasonUnknownAuthority {
		t.Errorf("the server trusts the old anchor on an open connection: %v", err)
	}
	if err := p.client.StillTrusted(open.client); FailureReason(err) != ReasonUnknownAuthority {
		t.Errorf("the client trusts the old anchor on an open connection: %v", err)
	}
	if m := p.shake(t); m.err() != nil || p.server.StillTrusted(m.server) != nil || p.client.StillTrusted(m.client) != nil {
		t.Errorf("under the new anchor: %v", m.err())
	}
	old := stranger(&pair{pki: p.pki, anchor: next})
	present(old, clientLeaf)
	if m := shake(t, p.server.Server(alpnTransport), old); FailureReason(m.serverErr) != ReasonUnknownAuthority {
		t.Errorf("a client with its old certificate: %v", m.err())
	}
}

// CERT-16: time ends new connections, and open ones go on.
func TestOpenConnectionsAreTrustedBeyondTheirCertificates(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	m := p.shake(t)
	p.server.clock.advance(3 * 24 * time.Hour) // leaves last a day
	if err := p.server.StillTrusted(m.server); err != nil {
		t.Errorf("the peer's leaf has expired: %v", err)
	}
	p.server.clock.advance(2 * 365 * 24 * time.Hour) // issuers last a year
	if err := p.server.StillTrusted(m.server); err != nil {
		t.Errorf("the peer's issuer has expired: %v", err)
	}
	p.server.clock.advance(10 * 365 * 24 * time.Hour)
	if err := p.server.StillTrusted(m.server); err == nil {
		t.Error("the anchor has expired")
	}
}

// An anchor that is renewed with its key is the same anchor, also for sessions that were resumed.
func TestAnAnchorRenewedWithItsKeyIsStillTrusted(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.shake(t).expectSuccess(t)
	m := p.shake(t)
	if !m.server.DidResume {
		t.Fatal("not resumed")
	}
	renewed, err := p.anchor.Renewed(pki.NotBefore(time.Now().Add(48*time.Hour)), pki.NotAfter(time.Now().Add(20*365*24*time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	p.server.clock.advance(72 * time.Hour)
	leaf := p.pki.Leaf(p.pki.Issuer(p.anchor, "east"), gatewayName, pki.NotAfter(time.Now().Add(96*time.Hour)))
	p.server.reload(p.pki.Files(leaf, renewed))
	if err := p.server.StillTrusted(m.server); err != nil {
		t.Errorf("after the renewal: %v", err)
	}
}

// An issuer that two anchors have signed leads to either.
func TestAnotherWayToAnAnchorIsFound(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	m := p.shake(t)
	m.server.VerifiedChains = nil
	if err := p.server.StillTrusted(m.server); err != nil {
		t.Errorf("the certificates presented lead to the anchor: %v", err)
	}
	p.server.clock.advance(3 * 24 * time.Hour)
	if err := p.server.StillTrusted(m.server); err != nil {
		t.Errorf("they do so still, when they have expired: %v", err)
	}
	m.server.PeerCertificates = m.server.PeerCertificates[:1]
	if err := p.server.StillTrusted(m.server); FailureReason(err) != ReasonUnknownAuthority {
		t.Errorf("without the issuer: %v", err)
	}
	m.server.PeerCertificates = nil
	if err := p.server.StillTrusted(m.server); FailureReason(err) != ReasonNoCertificate {
		t.Errorf("without a certificate: %v", err)
	}
}
