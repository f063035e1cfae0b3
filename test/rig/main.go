package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// startPatience bounds the start of one rig; a busy machine takes its time.
	startPatience = 3 * time.Minute
	// leakRounds is how often leaked goroutines get another chance to end. One round takes up to a second.
	leakRounds = 5
)

// shared holds the clusters that Shared gave out. Test functions have nothing else in common, so it
// is the one variable of this package; Main empties it.
var shared pool

// pool starts clusters when they are first asked for.
type pool struct {
	mu       sync.Mutex
	rigs     []*Rig
	clusters []*Cluster
	err      error // of the first start that failed: the next test would wait for the same failure
}

// Main runs the tests of a package in a network namespace, ends the shared clusters, and fails when
// goroutines are left over. Use it as func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }.
func Main(m *testing.M) int {
	isolated, err := Isolate(context.Background(), Isolation{})
	if err != nil {
		complain("%v", err)
		return 1
	}
	if isolated.Outside {
		return isolated.ExitCode
	}
	// Controllers get their loggers handed to them; the global one would only complain that it is unset.
	log.SetLogger(logr.Discard())
	code := m.Run()
	if err := shared.close(); err != nil {
		complain("end the shared clusters: %v", err)
		code = max(code, 1)
	}
	if code != 0 {
		return code // a failed test may leave goroutines, and that is not the news
	}
	if err := FindLeaks(); err != nil {
		complain("%v", err)
		return 1
	}
	return 0
}

// FindLeaks returns goroutines that tests left. It ignores what other people's packages start once per process and never end.
func FindLeaks() error {
	var err error
	for range leakRounds {
		err = goleak.Find(
			goleak.IgnoreTopFunction("k8s.io/klog/v2.(*flushDaemon).run.func1"),
			// controller-runtime's metadata watches pass through this filter, which blocks on an event that
			// nobody reads any more when its watch ends; it holds one event, until the process ends.
			goleak.IgnoreTopFunction("k8s.io/apimachinery/pkg/watch.(*filteredWatch).loop"),
		)
		if err == nil {
			return nil
		}
	}
	return err
}

func complain(format string, args ...any) {
	// There is no better place to report that stderr is gone.
	_, _ = fmt.Fprintf(os.Stderr, "linkspan rig: "+format+"\n", args...)
}

// Shared returns n clusters, started once per test binary and named c1, c2, …. Tests that share them
// keep to namespaces of their own (Cluster.Namespace) and must not break them.
func Shared(t testing.TB, n int) []*Cluster {
	t.Helper()
	clusters, err := shared.get(n)
	if err != nil {
		t.Fatalf("start shared clusters: %v", err)
	}
	return clusters
}

// New starts clusters for one test alone and ends them with it.
func New(t testing.TB, clusters ...ClusterOptions) []*Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	r, err := Start(ctx, Options{Clusters: clusters})
	if err != nil {
		t.Fatalf("start clusters: %v", err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("end clusters: %v", err)
		}
	})
	return r.Clusters()
}

func (p *pool) get(n int) ([]*Cluster, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return nil, p.err
	}
	if missing := n - len(p.clusters); missing > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), startPatience)
		defer cancel()
		options := make([]ClusterOptions, missing)
		for i := range options {
			options[i].Name = fmt.Sprintf("c%d", len(p.clusters)+i+1)
		}
		r, err := Start(ctx, Options{Clusters: options})
		if err != nil {
			p.err = err
			return nil, err
		}
		p.rigs = append(p.rigs, r)
		p.clusters = append(p.clusters, r.Clusters()...)
	}
	return p.clusters[:n:n], nil
}

func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, r := range p.rigs {
		errs = append(errs, r.Close())
	}
	p.rigs, p.clusters = nil, nil
	return errors.Join(errs...)
}
