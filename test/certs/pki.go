package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Validity of what is made without the options NotBefore and NotAfter.
const (
	anchorLife = 10 * 365 * 24 * time.Hour
	issuerLife = 365 * 24 * time.Hour
	leafLife   = 24 * time.Hour
	// clockSkew lets machines disagree a little about the time.
	clockSkew = time.Hour
)

// maxCommonName is how long a common name may be: ub-common-name of RFC 5280, appendix A.
const maxCommonName = 64

// Option changes a certificate before it is signed.
type Option func(*x509.Certificate)

// NotBefore sets when the certificate begins to be valid; an hour ago without it.
func NotBefore(at time.Time) Option { return func(c *x509.Certificate) { c.NotBefore = at } }

// NotAfter sets when the certificate ceases to be valid. Without it an anchor lasts ten years, an
// issuer one and a leaf a day.
func NotAfter(at time.Time) Option { return func(c *x509.Certificate) { c.NotAfter = at } }

// DNSNames replaces the DNS SANs; with no name there are none.
func DNSNames(names ...string) Option { return func(c *x509.Certificate) { c.DNSNames = names } }

// OnlyFor lets an issuer sign for these names, and those below them, and for no others (RFC 5280 section 4.2.1.10).
func OnlyFor(names ...string) Option {
	return func(c *x509.Certificate) { c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = names, true }
}

// KeyUsage replaces the key usage.
func KeyUsage(usage x509.KeyUsage) Option {
	return func(c *x509.Certificate) { c.KeyUsage = usage }
}

// ExtKeyUsage replaces the extended key usages; with no usage the certificate has no such extension.
func ExtKeyUsage(usages ...x509.ExtKeyUsage) Option {
	return func(c *x509.Certificate) { c.ExtKeyUsage = usages }
}

// Authority is a trust anchor or an issuer: a certificate that signs others, and its key.
type Authority struct {
	Certificate *x509.Certificate

	key    *ecdsa.PrivateKey
	parent *Authority // nil for an anchor
}

// Leaf is the certificate of one workload, and its key.
type Leaf struct {
	Certificate *x509.Certificate

	key    *ecdsa.PrivateKey
	issuer *Authority
}

// Anchor makes a trust anchor: a certificate of its own signing that issuers are made from.
func Anchor(name string, opts ...Option) (*Authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	return selfSigned(name, key, opts)
}

// Renewed makes an anchor of the same name and key with another validity, as people do who renew a
// root certificate and do not want to sign everything again.
func (a *Authority) Renewed(opts ...Option) (*Authority, error) {
	if a.parent != nil {
		return nil, errors.New("only an anchor is renewed with the key that it has")
	}
	return selfSigned(a.Certificate.Subject.CommonName, a.key, opts)
}

func selfSigned(name string, key *ecdsa.PrivateKey, opts []Option) (*Authority, error) {
	template, err := authorityTemplate(name, anchorLife, 1)
	if err != nil {
		return nil, err
	}
	cert, err := sign(template, opts, &Authority{Certificate: template, key: key}, key)
	if err != nil {
		return nil, err
	}
	return &Authority{Certificate: cert, key: key}, nil
}

// Issuer makes an intermediate, of which each cluster has its own (CERT-3).
func (a *Authority) Issuer(cluster string, opts ...Option) (*Authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template, err := authorityTemplate(cluster, issuerLife, 0)
	if err != nil {
		return nil, err
	}
	cert, err := sign(template, opts, a, key)
	if err != nil {
		return nil, err
	}
	return &Authority{Certificate: cert, key: key, parent: a}, nil
}

// Leaf makes the certificate of a workload, with the usages that Linkerd gives it: the identity is
// the DNS SAN, and the workload is both client and server (GW-10).
func (a *Authority) Leaf(identity string, opts ...Option) (*Leaf, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(identity, leafLife)
	if err != nil {
		return nil, err
	}
	template.DNSNames = []string{identity}
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	cert, err := sign(template, opts, a, key)
	if err != nil {
		return nil, err
	}
	return &Leaf{Certificate: cert, key: key, issuer: a}, nil
}

// CertPEM is the authority's own certificate.
func (a *Authority) CertPEM() []byte { return certPEM(a.Certificate) }

// KeyPEM is the authority's key. An anchor's must never be written into a cluster (CERT-5).
func (a *Authority) KeyPEM() ([]byte, error) { return keyPEM(a.key) }

// Bundle is the certificates of several anchors, in one file.
func Bundle(anchors ...*Authority) []byte {
	var all []byte
	for _, a := range anchors {
		all = append(all, a.CertPEM()...)
	}
	return all
}

// Pool is the same as a pool, for tests that make a tls.Config themselves.
func Pool(anchors ...*Authority) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, a := range anchors {
		pool.AddCert(a.Certificate)
	}
	return pool
}

// ChainPEM is what the workload presents: itself, then its issuers up to the anchor, without it.
func (l *Leaf) ChainPEM() []byte {
	var all []byte
	for _, cert := range l.chain() {
		all = append(all, certPEM(cert)...)
	}
	return all
}

// KeyPEM is the workload's key.
func (l *Leaf) KeyPEM() ([]byte, error) { return keyPEM(l.key) }

// TLS is the chain and the key as crypto/tls wants them.
func (l *Leaf) TLS() tls.Certificate {
	cert := tls.Certificate{PrivateKey: l.key, Leaf: l.Certificate}
	for _, c := range l.chain() {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	return cert
}

func (l *Leaf) chain() []*x509.Certificate {
	chain := []*x509.Certificate{l.Certificate}
	for a := l.issuer; a.parent != nil; a = a.parent {
		chain = append(chain, a.Certificate)
	}
	return chain
}

func authorityTemplate(name string, life time.Duration, maxPathLen int) (*x509.Certificate, error) {
	template, err := newTemplate(name, life)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.MaxPathLen, template.MaxPathLenZero = maxPathLen, maxPathLen == 0
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return template, nil
}

func newTemplate(name string, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), // RFC 5280 wants a positive one
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(life),
	}
	if len(name) <= maxCommonName { // else the SAN alone names it
		template.Subject = pkix.Name{CommonName: name}
	}
	return template, nil
}

func sign(template *x509.Certificate, opts []Option, by *Authority, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	for _, opt := range opts {
		opt(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Certificate, key.Public(), by.key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of %s: %w", nameOf(template), err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading back the certificate of %s: %w", nameOf(template), err)
	}
	return cert, nil
}

func nameOf(template *x509.Certificate) string {
	if name := template.Subject.CommonName; name != "" || len(template.DNSNames) == 0 {
		return name
	}
	return template.DNSNames[0]
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return key, nil
}

func certPEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// keyPEM encodes as PKCS #8, which is what cert-manager and step write too.
func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
