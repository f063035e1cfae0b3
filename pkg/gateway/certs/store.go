package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// errNotLoaded is what handshakes fail with before the first set of files was accepted.
var errNotLoaded = errors.New("no certificate has been loaded yet")

// Store keeps the certificates in force and hands out configurations that use them. NewStore makes one.
type Store struct {
	log     logr.Logger
	opts    Options
	metrics *Metrics
	now     func() time.Time

	current atomic.Pointer[generation]

	// loading is held for one look at the files, so that two cannot overtake one another.
	loading sync.Mutex

	mu      sync.Mutex
	changed chan struct{}          // closed and replaced when new certificates are in force; guarded by mu
	servers map[string]*serverSlot // by ALPN; guarded by mu
	refusal refusal                // guarded by mu
}

// serverSlot is where the handshakes of a server find the configuration of the generation in force.
type serverSlot struct {
	alpn   []string
	config *tls.Config // shared by all callers of Server with this ALPN
	inner  atomic.Pointer[tls.Config]
}

// refusal is why the files in place are not in use.
type refusal struct {
	err      error  // nil if they are
	looks    int    // how many looks in a row have ended so
	reported string // what was logged of it
}

// NewStore makes a store that has read nothing yet. opts must be valid. The clock decides what has
// expired, and time.Now is the one to give.
func NewStore(log logr.Logger, opts Options, metrics *Metrics, now func() time.Time) *Store {
	opts.Default()
	return &Store{
		log: log, opts: opts, metrics: metrics, now: now,
		changed: make(chan struct{}),
		servers: map[string]*serverSlot{},
	}
}

// Load reads the files once and takes what they hold into use. Its error names the file and what to do;
// the set that was in force then stays.
func (s *Store) Load() error {
	s.loading.Lock()
	defer s.loading.Unlock()
	err := s.look()
	s.noteResult(err)
	if err != nil {
		s.report(err)
	}
	return err
}

// Start looks at the files again and again until ctx ends, and then returns nil. Load need not have
// succeeded before: Start takes the files into use once they are good. It is for one caller.
func (s *Store) Start(ctx context.Context) error {
	ticker := time.NewTicker(s.opts.ReloadInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			s.poll()
		}
	}
}

// poll is one look, of which a first failure is not worth a word: files that are written one after
// the other do not fit one another for a moment.
func (s *Store) poll() {
	s.loading.Lock()
	defer s.loading.Unlock()
	s.renew()
	err := s.look()
	if r := s.noteResult(err); r.looks > 1 && r.reported != err.Error() {
		s.report(err)
		s.log.Error(err, "New certificate files are not used, those in force stay")
	}
}

// look reads the files, and takes them into use if they are new and good.
func (s *Store) look() error {
	f, err := s.opts.read()
	if err != nil {
		return err
	}
	now := s.now()
	if g := s.current.Load(); g == nil || g.digest != f.digest() {
		m, err := parse(f, s.opts, now)
		if err != nil {
			return err
		}
		s.install(newGeneration(m, now))
		s.announce()
		s.metrics.countReload(resultAccepted)
		s.log.Info("Certificates are in force", "identity", m.identity, "expires", m.pair.Leaf.NotAfter,
			"issuer", m.pair.Leaf.Issuer.CommonName, "anchors", len(m.anchors))
		for _, remark := range m.remarks {
			s.log.Info("Certificates have a flaw", "flaw", remark)
		}
	}
	s.metrics.setExpiry(s.current.Load().material, now)
	return nil
}

// renew starts a generation with the certificates of the one before, so that tickets do not last.
func (s *Store) renew() {
	now := s.now()
	if g := s.current.Load(); g != nil && now.Sub(g.born) >= generationLife {
		s.install(newGeneration(g.material, now))
	}
}

// install puts a generation in force. Open connections do not notice.
func (s *Store) install(g *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.Store(g)
	for _, slot := range s.servers {
		slot.inner.Store(s.serverConfig(g, slot.alpn))
	}
}

func (s *Store) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// noteResult keeps how a look ended, for Ready and for the next look.
func (s *Store) noteResult(err error) refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.refusal = refusal{}
	} else {
		s.refusal.err, s.refusal.looks = err, s.refusal.looks+1
	}
	return s.refusal
}

func (s *Store) report(err error) {
	s.metrics.countReload(resultRefused)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal.reported = err.Error()
}

// Ready is nil while the certificate in force is valid, with its issuer and its anchor. Otherwise it
// says what is wrong and how to mend it.
func (s *Store) Ready() error {
	s.mu.Lock()
	refused := s.refusal.err
	s.mu.Unlock()
	g := s.current.Load()
	switch {
	case g == nil && refused == nil:
		return errNotLoaded
	case g == nil:
		return fmt.Errorf("%w: %w", errNotLoaded, refused)
	}
	now := s.now()
	for i, cert := range g.chain {
		what := "the certificate in force, from " + s.opts.CertFile + ","
		if i > 0 {
			what = "the authority " + quoted(cert.Subject.CommonName) + " of " + what
		}
		if err := checkDates(cert, what, now); err != nil && refused != nil {
			return fmt.Errorf("%w; the files in place are not used: %w", err, refused)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// Identity is the name that the certificate in force gives us, in lower case; empty before the first
// Load. It is Options.Identity if that is set, else the first DNS SAN.
func (s *Store) Identity() string {
	if g := s.current.Load(); g != nil {
		return g.identity
	}
	return ""
}

// Changed gives a channel that is closed when new certificates or anchors are next in force. Ask for it
// before looking at what depends on them, and again after it is closed, and no change is missed.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Server gives the configuration of a server that speaks the protocols given, the preferred one first.
// It is for all connections, and follows the certificates by itself. Clients must speak TLS 1.3,
// present a certificate that leads to an anchor in force and has an identity, and offer one of the
// protocols. Sessions are resumed within a generation. The configuration is shared and must not be
// changed. Before the first Load every handshake fails, and without a protocol always.
func (s *Store) Server(alpn ...string) *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot := s.servers[alpnKey(alpn)]; slot != nil {
		return slot.config
	}
	slot := &serverSlot{alpn: slices.Clone(alpn)}
	slot.config = &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: slot.alpn,
		ClientAuth: tls.RequireAndVerifyClientCert,
		Time:       s.now,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if inner := slot.inner.Load(); inner != nil {
				return inner, nil
			}
			return nil, errNotLoaded
		},
	}
	if g := s.current.Load(); g != nil {
		slot.inner.Store(s.serverConfig(g, slot.alpn))
	}
	s.servers[alpnKey(alpn)] = slot
	return slot.config
}

// Client gives the configuration for one connection to the gateway whose identity is server. The
// gateway must speak TLS 1.3, lead to an anchor in force, have server as a DNS SAN to the letter,
// wildcards not counting, and choose one of the protocols offered. Ask for it before each connection,
// or certificates will not be followed; that is cheap. The configuration is shared and must not be changed.
func (s *Store) Client(server string, alpn ...string) (*tls.Config, error) {
	name, err := canonicalName(server)
	if err != nil {
		return nil, fmt.Errorf("the identity of a gateway to connect to: %w", err)
	}
	if len(alpn) == 0 || slices.Contains(alpn, "") {
		return nil, fmt.Errorf("connecting to %s: no ALPN protocol to offer", name)
	}
	g := s.current.Load()
	if g == nil {
		return nil, fmt.Errorf("connecting to %s: %w", name, errNotLoaded)
	}
	return s.clientConfig(g, name, alpn), nil
}
