package ingress

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/linkspan/linkspan/pkg/gateway/policy"
)

// renewing are certificates that change while clients are looked at.
type renewing struct {
	Certificates
	mu      sync.Mutex
	looks   int
	changed chan struct{}
}

func (r *renewing) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

func (r *renewing) StillTrusted(tls.ConnectionState) error {
	r.mu.Lock()
	r.looks++
	now := r.looks == 2
	if now {
		close(r.changed)
		r.changed = make(chan struct{})
	}
	r.mu.Unlock()
	if now {
		<-time.After(2 * trustInterval) // so that the next look is due as well
	}
	return nil
}

// CERT-1: a change of certificates is followed whenever it comes, also when a look at the clients is due at the same time.
func TestNoChangeOfCertificatesIsMissed(t *testing.T) {
	t.Parallel()
	for range 20 { // a select chooses at random
		synctest.Test(t, func(t *testing.T) {
			c := &connection{retired: make(chan struct{})}
			s := &Server{
				deps:          Dependencies{Log: logr.Discard(), Certificates: &renewing{changed: make(chan struct{})}},
				trustInterval: trustInterval, conns: map[*connection]struct{}{c: {}},
			}
			c.server = s
			ctx, cancel := context.WithCancel(t.Context())
			var following sync.WaitGroup
			following.Go(func() { s.followCertificates(ctx) })
			<-time.After(10 * trustInterval)
			select {
			case <-c.retired:
			default:
				t.Error("a connection from before the change still takes streams")
			}
			cancel()
			following.Wait()
		})
	}
}

// listing is a server with one connection and a list that is a file.
func listing(t *testing.T, client string, stranger bool, allowed string) (s *Server, c *connection, cut context.Context, allow func(string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clients")
	list := policy.New(logr.Discard(), policy.Options{File: path}, policy.NewMetrics(prometheus.NewRegistry()), func() {})
	allow = func(clients string) {
		if err := os.WriteFile(path, []byte(clients), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := list.Load(); err != nil {
			t.Fatal(err)
		}
	}
	cut, end := context.WithCancelCause(t.Context())
	s = &Server{deps: Dependencies{Log: logr.Discard()}, policy: list, conns: map[*connection]struct{}{}}
	allow(allowed)
	c = &connection{server: s, client: client, stranger: stranger, cut: end, retired: make(chan struct{})}
	s.conns[c] = struct{}{}
	return s, c, cut, allow
}

// A list that loses a client and has it back at once, as when a change is taken back, costs no stream.
func TestAListThatIsPutBackCutsNobody(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]bool{"put back": true, "left so": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _, cut, allow := listing(t, webClient, false, webClient)
				allow(batClient)
				s.partUnlisted()
				if back {
					allow(webClient)
				}
				<-time.After(2 * partingTime)
				if (cut.Err() == nil) != back {
					t.Errorf("the connection was ended: %v", cut.Err() != nil)
				}
			})
		})
	}
}

// A stranger that is listed meanwhile is asked to come again: its connection has a stranger's place, and little time to be idle.
func TestAStrangerThatIsListedComesAgain(t *testing.T) {
	t.Parallel()
	s, c, cut, allow := listing(t, webClient, true, batClient)
	s.partUnlisted()
	select {
	case <-c.retired:
		t.Error("it was sent away before it asked for anything")
	default:
	}
	allow(webClient)
	s.partUnlisted()
	select {
	case <-c.retired:
	default:
		t.Error("it keeps a stranger's place")
	}
	if cut.Err() != nil {
		t.Error("it was cut")
	}
}
