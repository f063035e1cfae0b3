package certs

import (
	"crypto/tls"
	"testing"
	"time"

	pki "github.com/linkspan/linkspan/test/certs"
)

func TestSessionsAreResumedWithinAGeneration(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for i := range 3 {
		m := p.shake(t)
		m.expectSuccess(t)
		if resumed := i > 0; m.client.DidResume != resumed || m.server.DidResume != resumed {
			t.Errorf("connection %d: resumed is %v and %v, want %v", i, m.client.DidResume, m.server.DidResume, resumed)
		}
		if peer, err := PeerIdentity(m.server); peer != clientName || err != nil {
			t.Errorf("connection %d: the peer is %q: %v", i, peer, err)
		}
	}
	// ALPN is agreed on anew, also when resuming.
	m := shake(t, p.server.Server(alpnMux, alpnTransport), p.client.client(gatewayName, alpnMux))
	if m.err() != nil || !m.client.DidResume || m.server.NegotiatedProtocol != alpnMux {
		t.Errorf("resumed is %v, protocol %q: %v", m.client.DidResume, m.server.NegotiatedProtocol, m.err())
	}
}

// What an earlier generation handed out is worth nothing, whoever has moved on.
func TestSessionsEndWithTheGeneration(t *testing.T) {
	t.Parallel()
	for name, move := range map[string]func(t *testing.T, p *pair){
		"the server has a new certificate": func(_ *testing.T, p *pair) {
			p.server.reload(p.pki.Files(p.pki.Leaf(p.anchor, gatewayName), p.anchor))
		},
		"the client has a new certificate": func(_ *testing.T, p *pair) {
			p.client.reload(p.pki.Files(p.pki.Leaf(p.anchor, clientName), p.anchor))
		},
		"the server has another anchor beside": func(_ *testing.T, p *pair) {
			p.server.reload(p.pki.Files(p.pki.Leaf(p.anchor, gatewayName), p.anchor, p.pki.Anchor("other")))
		},
		"12 hours have passed at the server": func(_ *testing.T, p *pair) {
			p.server.clock.advance(generationLife)
			p.server.poll()
		},
		"12 hours have passed at the client": func(_ *testing.T, p *pair) {
			p.client.clock.advance(generationLife)
			p.client.poll()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			p.shake(t).expectSuccess(t)
			before := p.shake(t)
			move(t, p)
			after := p.shake(t)
			after.expectSuccess(t)
			if !before.client.DidResume || after.client.DidResume {
				t.Errorf("resumed before: %v, after: %v", before.client.DidResume, after.client.DidResume)
			}
		})
	}
}

// A generation that only grew old is no change of certificates.
func TestRenewingAGenerationIsNotAnnounced(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	changed, before := p.server.Changed(), p.server.current.Load()
	p.server.clock.advance(generationLife - time.Second)
	p.server.poll()
	if p.server.current.Load() != before {
		t.Error("a generation ended early")
	}
	p.server.clock.advance(time.Second)
	p.server.poll()
	if p.server.current.Load() == before {
		t.Error("a generation went on for more than 12 hours")
	}
	select {
	case <-changed:
		t.Error("announced")
	default:
	}
}

// The files being gone, or bad, is no reason to let tickets live on.
func TestAGenerationEndsWhateverIsInTheFiles(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	before := p.server.current.Load()
	p.server.replace(pki.Files{})
	p.server.clock.advance(generationLife)
	p.server.poll()
	if p.server.current.Load() == before {
		t.Error("a generation went on for more than 12 hours")
	}
	p.shake(t).expectSuccess(t)
}

// CERT-16: who could not connect anew cannot resume either.
func TestSessionsEndWithTheCertificate(t *testing.T) {
	t.Parallel()
	made := pki.For(t)
	anchor := made.Anchor("root")
	soon := time.Now().Add(time.Hour)
	for name, c := range map[string]struct{ server, client, issuer pki.Option }{
		"of the client": {client: pki.NotAfter(soon)},
		"of the server": {server: pki.NotAfter(soon)},
		"of an issuer":  {issuer: pki.NotAfter(soon)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issuer := made.Issuer(anchor, "both", given(c.issuer)...)
			server := loaded(t, made.Files(made.Leaf(issuer, gatewayName, given(c.server)...), anchor))
			client := loaded(t, made.Files(made.Leaf(issuer, clientName, given(c.client)...), anchor))
			p := &pair{pki: made, anchor: anchor, server: server, client: client}
			p.shake(t).expectSuccess(t)
			if m := p.shake(t); m.err() != nil || !m.client.DidResume {
				t.Fatalf("not resumed: %v", m.err())
			}
			server.clock.advance(2 * time.Hour)
			client.clock.advance(2 * time.Hour)
			if m := p.shake(t); FailureReason(m.clientErr) != ReasonExpired && FailureReason(m.serverErr) != ReasonExpired {
				t.Errorf("client: %v, server: %v", m.clientErr, m.serverErr)
			}
		})
	}
}

func given(opt pki.Option) []pki.Option {
	if opt == nil {
		return nil
	}
	return []pki.Option{opt}
}

// A handshake that began before an anchor was taken away does not succeed after it, be it resumed or
// not. The configurations asked for here are those that such a handshake has in hand.
func TestAnAnchorThatIsGoneCountsForNoHandshake(t *testing.T) {
	t.Parallel()
	for name, resumed := range map[string]bool{"full": false, "resumed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, second := newPairOfTwoAnchors(t)
			server, err := p.server.Server(alpnTransport).GetConfigForClient(nil)
			if err != nil {
				t.Fatal(err)
			}
			client := p.client.client(gatewayName, alpnTransport)
			if resumed {
				shake(t, server, client).expectSuccess(t)
			}
			moved := p.pki.Leaf(second, gatewayName)
			p.server.reload(p.pki.Files(moved, second))
			m := shake(t, server, client)
			if FailureReason(m.serverErr) != ReasonUnknownAuthority || m.client.DidResume != resumed {
				t.Errorf("at the server, resumed is %v: %v", m.client.DidResume, m.err())
			}
			// The same for a client: its server shows a certificate under the anchor that is gone.
			plain := &tls.Config{NextProtos: []string{alpnTransport}}
			serve(plain, p.pki.Leaf(p.anchor, gatewayName))
			fresh := p.client.client(gatewayName, alpnTransport)
			if resumed {
				shake(t, plain, fresh).expectSuccess(t)
			}
			p.client.reload(p.pki.Files(p.pki.Leaf(second, clientName), second))
			if m := shake(t, plain, fresh); FailureReason(m.clientErr) != ReasonUnknownAuthority {
				t.Errorf("at the client: %v", m.err())
			}
		})
	}
}

// newPairOfTwoAnchors is newPair where both trust a second anchor that nobody uses.
func newPairOfTwoAnchors(t *testing.T) (*pair, *pki.Authority) {
	t.Helper()
	made := pki.For(t)
	anchor, second := made.Anchor("root"), made.Anchor("second")
	return &pair{
		pki: made, anchor: anchor,
		server: loaded(t, made.Files(made.Leaf(made.Issuer(anchor, "east"), gatewayName), anchor, second)),
		client: loaded(t, made.Files(made.Leaf(made.Issuer(anchor, "west"), clientName), anchor, second)),
	}, second
}
