package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// verifyClient is asked at the end of each handshake of a server, resumed or not.
func (s *Store) verifyClient(state tls.ConnectionState) error {
	if state.NegotiatedProtocol == "" { // crypto/tls lets in clients that offer none
		return &handshakeError{reason: ReasonNoALPN, text: "the client offered no ALPN protocol"}
	}
	if _, err := PeerIdentity(state); err != nil {
		return err
	}
	return s.verifyPeer(state)
}

// verifyServer is the same for a client.
func (s *Store) verifyServer(state tls.ConnectionState) error {
	if state.NegotiatedProtocol == "" {
		return &handshakeError{reason: ReasonNoALPN, text: "the server chose no ALPN protocol: the address may not be a gateway's"}
	}
	if len(state.PeerCertificates) == 0 {
		return &handshakeError{reason: ReasonNoCertificate, text: "the server presented no certificate"}
	}
	if leaf := state.PeerCertificates[0]; !hasIdentity(leaf, state.ServerName) {
		return &handshakeError{reason: ReasonWrongName, text: fmt.Sprintf("the server's certificate is for %s, not for %s",
			quotedNames(leaf.DNSNames), quoted(state.ServerName))}
	}
	return s.verifyPeer(state)
}

// verifyPeer checks dates, which a resumed session has outlived if it could, and the anchors in force
// now, which may have changed since the handshake began.
func (s *Store) verifyPeer(state tls.ConnectionState) error {
	now := s.now()
	return s.checkChains(state, now, func(chain []*x509.Certificate) bool {
		return !slices.ContainsFunc(chain, func(cert *x509.Certificate) bool { return !validAt(cert, now) })
	})
}

// StillTrusted says whether the certificate that the other side of an open connection presented leads
// to an anchor in force now. Its own dates and its issuer's do not matter: a peer that has renewed its
// certificate cannot show that on a connection that is open, and an expired issuer ends new
// connections, not old ones (CERT-16). An error means that the anchor was taken away or has expired,
// and that the connection should be closed. It costs no cryptography unless an anchor is gone.
func (s *Store) StillTrusted(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return &handshakeError{reason: ReasonNoCertificate, text: "the peer presented no certificate"}
	}
	at := s.now()
	if last := end(state.PeerCertificates); last.Before(at) {
		at = last
	}
	return s.checkChains(state, at, func([]*x509.Certificate) bool { return true })
}

// checkChains looks for a chain, of those that the handshake found, that is good and ends in an anchor
// in force. If there is none it looks for others, at the time given: an issuer may be signed by several
// anchors.
func (s *Store) checkChains(state tls.ConnectionState, at time.Time, good func([]*x509.Certificate) bool) error {
	g := s.current.Load()
	if g == nil {
		return errNotLoaded
	}
	now := s.now()
	for _, chain := range state.VerifiedChains {
		if len(chain) > 0 && good(chain) && g.inForce(chain[len(chain)-1], now) {
			return nil
		}
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots:         g.rootsAt(now),
		Intermediates: poolOf(state.PeerCertificates[1:]),
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // the handshake checked the usage
	})
	if err != nil {
		return fmt.Errorf("the peer's certificate leads to no anchor that is in force now: %w", err)
	}
	return nil
}

// inForce says whether an authority is one of the anchors that are valid. Name and key are what makes an
// anchor (RFC 5280, section 6.1.1), so one that was renewed with its key is still the same.
func (m *material) inForce(root *x509.Certificate, now time.Time) bool {
	return slices.ContainsFunc(m.anchors, func(anchor *x509.Certificate) bool {
		return validAt(anchor, now) && bytes.Equal(anchor.RawSubject, root.RawSubject) &&
			bytes.Equal(anchor.RawSubjectPublicKeyInfo, root.RawSubjectPublicKeyInfo)
	})
}

// rootsAt are the anchors that are valid at now.
func (m *material) rootsAt(now time.Time) *x509.CertPool {
	var valid []*x509.Certificate
	for _, anchor := range m.anchors {
		if validAt(anchor, now) {
			valid = append(valid, anchor)
		}
	}
	return poolOf(valid)
}
