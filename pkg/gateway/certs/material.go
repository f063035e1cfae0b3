package certs

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// material is what the files hold, once it has been found good. It never changes.
type material struct {
	// pair is what we present: leaf, then its issuers.
	pair tls.Certificate
	// anchors and roots are the same certificates. One that has expired is among them, and counts
	// for nothing: every check looks at its dates.
	anchors []*x509.Certificate
	roots   *x509.CertPool
	// chain leads from our leaf to an anchor; of several, the one that lasts longest.
	chain    []*x509.Certificate
	identity string
	digest   [sha256.Size]byte
	// remarks are what the user should know although the files are good.
	remarks []string
}

// parse judges a set of files as a whole. Its errors name the file and what to do, and say the same
// for as long as the fault lasts. What is valid is valid at now.
func parse(f files, o Options, now time.Time) (*material, error) {
	m := &material{digest: f.digest()}
	presented, err := certificates(o.CertFile, f.cert)
	if err != nil {
		return nil, err
	}
	key, err := privateKey(o.KeyFile, f.key)
	if err != nil {
		return nil, err
	}
	leaf := presented[0]
	if err := checkLeaf(leaf, key, o, now); err != nil {
		return nil, err
	}
	if err := m.name(leaf, o); err != nil {
		return nil, err
	}
	if err := m.readAnchors(f.anchors, o.AnchorsFile, now); err != nil {
		return nil, err
	}
	if err := m.verify(presented, o, now); err != nil {
		return nil, err
	}
	m.pair = tls.Certificate{PrivateKey: key, Leaf: leaf}
	for _, cert := range presented {
		m.pair.Certificate = append(m.pair.Certificate, cert.Raw)
	}
	return m, nil
}

// checkLeaf looks at the leaf by itself, in the order in which people make the mistakes.
func checkLeaf(leaf *x509.Certificate, key crypto.Signer, o Options, now time.Time) error {
	if leaf.IsCA {
		return fmt.Errorf("the first certificate in %s is that of an authority, %s: put the gateway's own certificate first, its issuer after it",
			o.CertFile, quoted(leaf.Subject.CommonName))
	}
	public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(key.Public()) {
		return fmt.Errorf("the key in %s is not the key of the first certificate in %s: give files that were issued together", o.KeyFile, o.CertFile)
	}
	if err := checkDates(leaf, "the certificate in "+o.CertFile, now); err != nil {
		return err
	}
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return fmt.Errorf("the certificate in %s may not sign handshakes (RFC 8446, section 4.4.2.2): issue it with the key usage digital signature", o.CertFile)
	}
	return nil
}

func checkDates(cert *x509.Certificate, what string, now time.Time) error {
	switch {
	case now.After(cert.NotAfter):
		return fmt.Errorf("%s expired at %s: renew it", what, cert.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(cert.NotBefore):
		return fmt.Errorf("%s is not valid before %s: wait, or set the clock of this machine or of its issuer right", // CERT-15
			what, cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// name finds out who we are. Peers take the first DNS SAN, so another one is worth a remark.
func (m *material) name(leaf *x509.Certificate, o Options) error {
	first, err := identityOf(leaf)
	if err != nil {
		return fmt.Errorf("%s: %w: issue the certificate with the gateway's identity as its first DNS SAN", o.CertFile, err)
	}
	m.identity = first
	if o.Identity == "" {
		return nil
	}
	wanted := strings.ToLower(o.Identity)
	if !hasIdentity(leaf, wanted) {
		return fmt.Errorf("the certificate in %s is for %s, not for %s: issue it for that DNS SAN, or correct --%s%s",
			o.CertFile, quotedNames(leaf.DNSNames), quoted(o.Identity), o.prefix, flagIdentity)
	}
	m.identity = wanted
	if m.identity != first {
		m.remarks = append(m.remarks, fmt.Sprintf("%s is not the first DNS SAN of the certificate: servers that we connect to know us as %s",
			quoted(m.identity), quoted(first)))
	}
	return nil
}

func (m *material) readAnchors(data []byte, path string, now time.Time) error {
	anchors, err := certificates(path, data)
	if err != nil {
		return err
	}
	m.anchors, m.roots = anchors, x509.NewCertPool()
	var invalid []error
	for _, anchor := range anchors {
		what := fmt.Sprintf("the anchor %s in %s", quoted(anchor.Subject.CommonName), path)
		if !anchor.IsCA {
			return fmt.Errorf("%s is no authority's certificate: give the certificate that signed the issuers", what)
		}
		m.roots.AddCert(anchor)
		if err := checkDates(anchor, what, now); err != nil {
			invalid = append(invalid, err)
			m.remarks = append(m.remarks, "not used: "+err.Error())
		}
	}
	if len(invalid) == len(anchors) {
		return errors.Join(invalid...)
	}
	return nil
}

// verify does what peers will do. A gateway is server and client, so its chain must be good for both.
func (m *material) verify(presented []*x509.Certificate, o Options, now time.Time) error {
	for _, as := range []struct {
		usage x509.ExtKeyUsage
		name  string
	}{{x509.ExtKeyUsageServerAuth, "server auth"}, {x509.ExtKeyUsageClientAuth, "client auth"}} {
		chains, err := presented[0].Verify(x509.VerifyOptions{
			Roots:         m.roots,
			Intermediates: poolOf(presented[1:]),
			CurrentTime:   now,
			KeyUsages:     []x509.ExtKeyUsage{as.usage},
		})
		if err != nil {
			return chainError(err, presented[0], o, as.name, now)
		}
		m.chain = longest(chains)
	}
	return nil
}

// chainError says what is wrong with a chain. The leaf's own dates were good.
func chainError(err error, leaf *x509.Certificate, o Options, usage string, now time.Time) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("the certificate in %[1]s, signed by %[2]s, leads to no anchor in %[3]s: append the certificates of its issuers to %[1]s, or add its anchor to %[3]s: %[4]w",
			o.CertFile, quoted(leaf.Issuer.CommonName), o.AnchorsFile, err)
	}
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case ok && invalid.Reason == x509.Expired:
		what := fmt.Sprintf("the authority %s, which the certificate in %s leads to,", quoted(invalid.Cert.Subject.CommonName), o.CertFile)
		return checkDates(invalid.Cert, what, now)
	case ok && invalid.Reason == x509.IncompatibleUsage:
		return fmt.Errorf("the certificate in %s, or its issuer, is not for %s: issue it with the extended key usages server auth and client auth", o.CertFile, usage)
	default:
		return fmt.Errorf("the certificate in %s does not lead to an anchor in %s, issue it again: %w", o.CertFile, o.AnchorsFile, err)
	}
}

// longest gives the chain that is valid for longest.
func longest(chains [][]*x509.Certificate) []*x509.Certificate {
	best := chains[0]
	for _, chain := range chains[1:] {
		if end(chain).After(end(best)) {
			best = chain
		}
	}
	return best
}

// end is when the first of some certificates expires.
func end(certs []*x509.Certificate) time.Time { return firstToEnd(certs).NotAfter }

func firstToEnd(certs []*x509.Certificate) *x509.Certificate {
	return slices.MinFunc(certs, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
}

func validAt(cert *x509.Certificate, now time.Time) bool {
	return !now.Before(cert.NotBefore) && !now.After(cert.NotAfter)
}

func poolOf(certs []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool
}
