package certs

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	pki "github.com/linkspan/linkspan/test/certs"
)

const (
	metricExpiry   = "linkspan_gateway_certificate_expiry_timestamp_seconds"
	metricLifetime = "linkspan_gateway_certificate_lifetime_seconds"
	metricReloads  = "linkspan_gateway_certificate_reloads_total"
)

// Start takes files into use that are not there yet when it is called.
func TestFilesThatComeLateAreTakenIntoUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := newPlace(t, pki.Files{})
	if err := p.Load(); err == nil || !strings.Contains(err.Error(), p.dir) {
		t.Errorf("empty files were accepted: %v", err)
	}
	if err := p.Ready(); err == nil || !strings.Contains(err.Error(), "BEGIN CERTIFICATE") {
		t.Errorf("ready, without certificates: %v", err)
	}
	changed := p.Changed()
	p.start()
	p.replace(w.good())
	p.waitFor("the files", func() bool { return p.Ready() == nil })
	select {
	case <-changed:
	case <-time.After(patience):
		t.Error("not announced")
	}
	if p.Identity() != gatewayName {
		t.Errorf("identity %q", p.Identity())
	}
}

// Contents are compared, so a copy of the same files is no change, and going back to them neither.
func TestOnlyNewContentsAreAChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.good()
	p := loaded(t, first)
	before, changed := p.current.Load(), p.Changed()
	p.replace(first)
	p.poll()
	broken := w.good()
	broken.Key = first.Key
	p.replace(broken)
	p.poll()
	p.replace(first)
	p.poll()
	p.poll()
	if p.current.Load() != before {
		t.Error("a new generation for the same files")
	}
	select {
	case <-changed:
		t.Error("announced")
	default:
	}
	if n, _ := p.metric(metricReloads, resultRefused); n != 0 || p.logged.Load() != 1 {
		t.Errorf("%v refusals, %d lines logged; a moment of half-written files is not worth a word", n, p.logged.Load())
	}
}

// A pair of which only the half is written is waited for, and told when it lasts.
func TestHalfWrittenFilesAreToldWhenTheyLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.good(), w.good()
	p := loaded(t, first)
	lines := p.logged.Load()
	half := first
	half.Cert = second.Cert
	p.replace(half)
	p.poll()
	if p.logged.Load() != lines {
		t.Error("logged at the first look")
	}
	for range 5 {
		p.poll()
	}
	refused, _ := p.metric(metricReloads, resultRefused)
	if p.logged.Load() != lines+1 || refused != 1 {
		t.Errorf("%d lines and %v refusals, want one of each", p.logged.Load()-lines, refused)
	}
	if err := p.Ready(); err != nil {
		t.Errorf("the certificate in force is valid: %v", err)
	}
	p.replace(second)
	p.poll()
	accepted, _ := p.metric(metricReloads, resultAccepted)
	if got, want := p.current.Load().pair.Leaf.Raw, w.leafOf(second); string(got) != string(want) || accepted != 2 {
		t.Errorf("the second certificate is not in force, %v accepted", accepted)
	}
}

func (w world) leafOf(f pki.Files) []byte {
	certs, err := certificates("x", f.Cert)
	if err != nil {
		return nil
	}
	return certs[0].Raw
}

// What is refused changes nothing, and matters when the certificate in force ends (CERT-6).
func TestReadyTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := loaded(t, w.good())
	p.replace(w.good(pki.DNSNames("*.example")))
	p.poll()
	p.poll()
	if err := p.Ready(); err != nil {
		t.Fatalf("the certificate in force is valid: %v", err)
	}
	p.clock.advance(48 * time.Hour)
	err := p.Ready()
	if err == nil {
		t.Fatal("ready, with a certificate that has expired")
	}
	for _, want := range []string{"in force", p.dir, "expired at", "not used", "*.example"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant it to say %q", err, want)
		}
	}
	p.replace(w.good(pki.NotAfter(p.clock.now().Add(time.Hour))))
	p.poll()
	if err := p.Ready(); err != nil {
		t.Errorf("a new certificate is in force: %v", err)
	}
}

// CERT-16: an issuer or an anchor that has expired ends new connections as the leaf does.
func TestReadyLooksAtTheWholeChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := pki.NotAfter(w.now.Add(100 * 365 * 24 * time.Hour))
	soon := pki.NotAfter(w.now.Add(time.Hour))
	for name, files := range map[string]pki.Files{
		"issuer": w.Files(w.Leaf(w.Issuer(w.anchor, "soon", soon), gatewayName, long), w.anchor),
		"anchor": func() pki.Files {
			anchor := w.Anchor("soon", soon)
			return w.Files(w.Leaf(w.Issuer(anchor, "east", long), gatewayName, long), anchor, w.other)
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := loaded(t, files)
			if err := p.Ready(); err != nil {
				t.Fatal(err)
			}
			p.clock.advance(2 * time.Hour)
			if err := p.Ready(); err == nil || !strings.Contains(err.Error(), `"soon"`) {
				t.Errorf("ready = %v, want it to name the one that has expired", err)
			}
		})
	}
}

// A clock that is behind makes everything of the future.
func TestReadyHintsAtTheClock(t *testing.T) {
	t.Parallel()
	p := loaded(t, newWorld(t).good())
	p.clock.advance(-48 * time.Hour)
	if err := p.Ready(); err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("ready = %v", err)
	}
}

// CERT-7: the expiry of all that can expire, anchors that have done so left out.
func TestExpiryIsMeasured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := func(d time.Duration) time.Time { return w.now.Add(d).Truncate(time.Second) }
	issuer := w.Issuer(w.anchor, "east", pki.NotAfter(at(200*time.Hour)))
	leaf := w.Leaf(issuer, gatewayName, pki.NotAfter(at(100*time.Hour)))
	p := loaded(t, w.Files(leaf, w.anchor,
		w.Anchor("past", pki.NotAfter(at(-time.Minute))), w.Anchor("soon", pki.NotAfter(at(50*time.Hour))), w.Anchor("later", pki.NotAfter(at(300*time.Hour)))))
	expect := func(certificate string, want time.Time) {
		t.Helper()
		if got, ok := p.metric(metricExpiry, certificate); !ok || got != float64(want.Unix()) {
			t.Errorf("%s expires at %v, want %v", certificate, got, want.Unix())
		}
	}
	expect(certificateLeaf, at(100*time.Hour))
	expect(certificateIssuer, at(200*time.Hour))
	expect(certificateAnchor, at(50*time.Hour))
	p.clock.advance(60 * time.Hour)
	p.poll()
	expect(certificateAnchor, at(300*time.Hour))
	p.reload(w.Files(w.Leaf(w.anchor, gatewayName, pki.NotAfter(at(100*time.Hour))), w.anchor))
	if _, ok := p.metric(metricExpiry, certificateIssuer); ok {
		t.Error("there is no issuer any more")
	}
}

// CERT-8: what expires soon may be half a day from its end, or have been renewed a minute ago.
func TestLifetimeIsMeasured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	from := func(d time.Duration) pki.Option { return pki.NotBefore(w.now.Add(d).Truncate(time.Second)) }
	until := func(d time.Duration) pki.Option { return pki.NotAfter(w.now.Add(d).Truncate(time.Second)) }
	issuer := w.Issuer(w.anchor, "east", from(-time.Hour), until(200*time.Hour))
	p := loaded(t, w.Files(w.Leaf(issuer, gatewayName, from(-30*time.Minute), until(24*time.Hour)), w.anchor,
		w.Anchor("soon", from(-time.Hour), until(50*time.Hour)), w.Anchor("later", until(900*time.Hour))))
	for certificate, want := range map[string]time.Duration{
		certificateLeaf: 24*time.Hour + 30*time.Minute, certificateIssuer: 201 * time.Hour, certificateAnchor: 51 * time.Hour,
	} {
		if got, ok := p.metric(metricLifetime, certificate); !ok || got != want.Seconds() {
			t.Errorf("%s is valid for %v seconds, want %v", certificate, got, want.Seconds())
		}
	}
	p.reload(w.Files(w.Leaf(w.anchor, gatewayName), w.anchor))
	if _, ok := p.metric(metricLifetime, certificateIssuer); ok {
		t.Error("there is no issuer any more")
	}
}

func TestMetricNames(t *testing.T) {
	t.Parallel()
	p := loaded(t, newWorld(t).good())
	NewMetrics(p.registry, "other") // a process may have several sets of certificates
	problems, err := testutil.GatherAndLint(p.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	for _, result := range []string{resultAccepted, resultRefused} {
		if _, ok := p.metric(metricReloads, result); !ok {
			t.Errorf("no series for %s from the start", result)
		}
	}
}

// No key material in what is logged, refused or told (architecture, decision 10).
func TestKeysAreNeverTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := strings.Repeat("c2VjcmV0", 8)
	damaged := w.good()
	damaged.Key = []byte("-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----\n")
	misplaced := w.good()
	misplaced.Cert = misplaced.Key
	for _, files := range []pki.Files{damaged, misplaced} {
		store := NewStore(quiet(), optionsFor(w.Dir(files)), NewMetrics(prometheus.NewRegistry(), "gateway"), time.Now)
		err := store.Load()
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), secret[:16]) || strings.Contains(err.Error(), string(misplaced.Key[40:60])) {
			t.Errorf("error = %v", err)
		}
	}
}

// The poll reads changed links, not only changed files: see the rotation tests for that. Here the
// folder vanishes and comes back, as when a volume is mounted again.
func TestFilesMayVanishForAWhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.good()
	p := loaded(t, first)
	before := p.current.Load()
	opts := p.opts
	p.opts.KeyFile += ".gone"
	p.poll()
	p.poll()
	if err := p.Ready(); err != nil || p.current.Load() != before {
		t.Errorf("the certificate in force is valid: %v", err)
	}
	p.opts = opts
	p.poll()
	if p.current.Load() != before || p.Ready() != nil {
		t.Error("the same files are back")
	}
}
