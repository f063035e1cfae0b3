package certs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linkspan/linkspan/test/certs"
)

const gateway = "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"

// GW-10: TLS 1.3 and ECDSA P-256, the usages of a Linkerd proxy, the identity as DNS SAN.
func TestALeafIsWhatLinkerdWouldMake(t *testing.T) {
	t.Parallel()
	pki := certs.For(t)
	anchor := pki.Anchor("root")
	leaf := pki.Leaf(pki.Issuer(anchor, "east"), gateway).Certificate
	if want := x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment; leaf.KeyUsage != want {
		t.Errorf("key usage = %b, want %b", leaf.KeyUsage, want)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if !slices.Contains(leaf.ExtKeyUsage, usage) {
			t.Errorf("the leaf is not for usage %v", usage)
		}
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		t.Errorf("the key is a %T, want ECDSA P-256", leaf.PublicKey)
	}
	if !slices.Equal(leaf.DNSNames, []string{gateway}) {
		t.Errorf("DNS SANs = %q", leaf.DNSNames)
	}
	if len(leaf.Subject.CommonName) > 64 {
		t.Errorf("the common name has %d characters, and RFC 5280 allows 64", len(leaf.Subject.CommonName))
	}
}

// A written folder is all that a server needs, and a client trusts it by the anchor alone.
func TestAWrittenFolderMakesAServerThatClientsTrust(t *testing.T) {
	t.Parallel()
	pki := certs.For(t)
	anchor, other := pki.Anchor("root"), pki.Anchor("other")
	dir := pki.Dir(pki.Files(pki.Leaf(pki.Issuer(anchor, "east"), gateway), anchor, other))
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, certs.CertFile), filepath.Join(dir, certs.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if len(pair.Certificate) != 2 {
		t.Fatalf("%d certificates in the chain, want the leaf and its issuer", len(pair.Certificate))
	}
	issuer, err := x509.ParseCertificate(pair.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	intermediates := x509.NewCertPool()
	intermediates.AddCert(issuer)
	for name, c := range map[string]struct {
		roots *x509.CertPool
		works bool
	}{
		"its own anchor":     {certs.Pool(anchor), true},
		"both anchors":       {certs.Pool(other, anchor), true},
		"another anchor":     {certs.Pool(other), false},
		"the anchor renewed": {certs.Pool(renewed(t, anchor)), true},
	} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{
			Roots: c.roots, Intermediates: intermediates, DNSName: gateway,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		})
		if (err == nil) != c.works {
			t.Errorf("%s: %v", name, err)
		}
	}
	if bundle, err := os.ReadFile(filepath.Join(dir, certs.AnchorsFile)); err != nil || strings.Count(string(bundle), "BEGIN CERTIFICATE") != 2 {
		t.Errorf("the bundle has not two anchors: %v", err)
	}
}

func renewed(t *testing.T, anchor *certs.Authority) *certs.Authority {
	t.Helper()
	again, err := anchor.Renewed(certs.NotAfter(time.Now().Add(20 * 365 * 24 * time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestOptionsChangeWhatIsSigned(t *testing.T) {
	t.Parallel()
	pki := certs.For(t)
	from := time.Now().Add(time.Hour).Truncate(time.Second)
	to := from.Add(time.Hour)
	leaf := pki.Leaf(pki.Anchor("root"), gateway, certs.NotBefore(from), certs.NotAfter(to),
		certs.DNSNames("a.example", "b.example"), certs.KeyUsage(x509.KeyUsageCRLSign), certs.ExtKeyUsage()).Certificate
	if !leaf.NotBefore.Equal(from) || !leaf.NotAfter.Equal(to) {
		t.Errorf("valid from %v to %v, want %v to %v", leaf.NotBefore, leaf.NotAfter, from, to)
	}
	if !slices.Equal(leaf.DNSNames, []string{"a.example", "b.example"}) || leaf.KeyUsage != x509.KeyUsageCRLSign || leaf.ExtKeyUsage != nil {
		t.Errorf("SANs %q, key usage %b, extended %v", leaf.DNSNames, leaf.KeyUsage, leaf.ExtKeyUsage)
	}
}

// The kubelet swaps all files of a mounted Secret at once and keeps no old version.
func TestProjectedFilesAreSwappedAtOnce(t *testing.T) {
	t.Parallel()
	pki := certs.For(t)
	anchor := pki.Anchor("root")
	issuer, dir := pki.Issuer(anchor, "east"), t.TempDir()
	for range 3 {
		files := pki.Files(pki.Leaf(issuer, gateway), anchor)
		pki.Project(files, dir)
		got, err := os.ReadFile(filepath.Join(dir, certs.CertFile))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(files.Cert) {
			t.Error("the old certificate is still in place")
		}
		if target, err := os.Readlink(filepath.Join(dir, certs.KeyFile)); err != nil || target != filepath.Join("..data", certs.KeyFile) {
			t.Errorf("tls.key leads to %q: %v", target, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 5 { // three files, ..data and one version
		t.Errorf("left in the folder: %v", entries)
	}
}
