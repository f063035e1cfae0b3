package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	east = "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
	west = "linkspan-egress.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
)

func runIn(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	var notes bytes.Buffer
	err := run(append([]string{"-out", dir}, args...), &notes)
	return notes.String(), err
}

// listing is all files below a folder.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(dir, path)
			found = append(found, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// CERT-3: an issuer for each cluster, under one anchor. CERT-5: no key but those of the gateways.
func TestEachClusterGetsWhatItsGatewayNeeds(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	notes, err := runIn(t, dir, "-identity", "east="+east, "-identity", "west="+west)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ca.crt", "east/ca.crt", "east/tls.crt", "east/tls.key", "west/ca.crt", "west/tls.crt", "west/tls.key"}
	if got := listing(t, dir); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	issuers := map[string]bool{}
	for cluster, identity := range map[string]string{"east": east, "west": west} {
		if !strings.Contains(notes, identity) {
			t.Errorf("the notes do not tell of %s:\n%s", identity, notes)
		}
		issuers[verify(t, dir, cluster, identity)] = true
	}
	if len(issuers) != 2 {
		t.Errorf("issuers %v, want one for each cluster", issuers)
	}
	if strings.Contains(notes, "PRIVATE") {
		t.Error("a key is in the notes")
	}
}

// verify checks a cluster's folder against the common anchor, and names its issuer.
func verify(t *testing.T, dir, cluster, identity string) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, cluster, "tls.crt"), filepath.Join(dir, cluster, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	for _, der := range pair.Certificate[1:] {
		intermediates.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	if issuer, err := x509.ParseCertificate(pair.Certificate[1]); err != nil || !slices.Equal(issuer.PermittedDNSDomains, []string{identity}) || !issuer.PermittedDNSDomainsCritical {
		t.Errorf("%s: the issuer may sign for %q (%v), want its gateway alone", cluster, issuer.PermittedDNSDomains, err)
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, DNSName: identity}); err != nil {
		t.Errorf("%s: %v", cluster, err)
	}
	own, err := os.ReadFile(filepath.Join(dir, cluster, "ca.crt"))
	if err != nil || !bytes.Equal(own, bundle) {
		t.Errorf("%s has another anchor: %v", cluster, err)
	}
	return pair.Leaf.Issuer.CommonName
}

func TestTheAnchorsKeyIsWrittenOnDemandOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	notes, err := runIn(t, dir, "-anchor-key", "-identity", "east="+east)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "ca.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("ca.key: %v, %v", info, err)
	}
	if !strings.Contains(notes, "never get into a cluster") {
		t.Errorf("no warning:\n%s", notes)
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := runIn(t, dir, "-identity", "east="+east); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error = %v", err)
	}
	if got := listing(t, dir); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("files %q", got)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"nothing to make":           {nil, "-identity"},
		"an identity of nobody":     {[]string{"-identity", east}, "cluster=identity"},
		"another trust domain":      {[]string{"-trust-domain", "example.com", "-identity", "east=" + east}, "example.com"},
		"a cluster twice":           {[]string{"-identity", "east=" + east, "-identity", "east=" + west}, "already"},
		"a cluster that leads away": {[]string{"-identity", "../east=" + east}, "../east"},
		"no time to live":           {[]string{"-lifetime", "0s", "-identity", "east=" + east}, "-lifetime"},
		"a word that is no flag":    {[]string{"east=" + east}, "no flag"},
		"no folder":                 {[]string{"-out", "", "-identity", "east=" + east}, "-out"},
	} {
		dir := filepath.Join(t.TempDir(), "new")
		_, err := runIn(t, dir, c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error = %v, want it to name %s", name, err, c.want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: something was made", name)
		}
	}
}
