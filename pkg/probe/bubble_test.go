package probe

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/linkspan/linkspan/pkg/link"
)

const period = 3 * time.Second

// bubble is Gateways on a network, a DNS and a clock of its own. The clock stands still while
// anything can still happen, so what a test reads after advance is final.
type bubble struct {
	t   *testing.T
	g   *Gateways
	net *network
	dns *dns
	reg *prometheus.Registry

	mu      sync.Mutex
	changes []link.Name
	// seen are the states of the first address at each onChange.
	seen []State

	// stop ends Start and waits for it.
	stop func()
}

// inBubble runs test with Gateways that are started.
func inBubble(t *testing.T, test func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.start()
		defer b.stop()
		test(t, b)
	})
}

func newBubble(t *testing.T, options ...Option) *bubble {
	t.Helper()
	b := &bubble{t: t, net: newNetwork(), dns: newDNS(), reg: prometheus.NewRegistry()}
	b.g = NewGateways(Options{}, logr.Discard(), NewMetrics(b.reg), b.onChange,
		append(options, WithDialer(b.net.dial), WithResolver(b.dns))...)
	return b
}

func (b *bubble) start() {
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.g.Start(ctx) }()
	synctest.Wait()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("Start: %v", err)
		}
		if n := b.net.opened(); n != 0 {
			b.t.Errorf("%d connections left open", n)
		}
	})
}

func (b *bubble) onChange(n link.Name) {
	addrs, _ := b.g.Addresses(n) // the contract allows it
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changes = append(b.changes, n)
	if len(addrs) > 0 {
		b.seen = append(b.seen, addrs[0].State)
	}
}

// takeChanges gives the calls of onChange since the last time it was asked.
func (b *bubble) takeChanges() []link.Name {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { b.changes = nil }()
	return b.changes
}

// advance moves the clock, and waits until all has happened.
func (b *bubble) advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// states are the verdicts by address.
func (b *bubble) states(n link.Name) map[string]State {
	addrs, _ := b.g.Addresses(n)
	states := map[string]State{}
	for _, a := range addrs {
		states[a.IP.String()] = a.State
	}
	return states
}

func (b *bubble) expectStates(n link.Name, want map[string]State) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.states(n)); diff != "" {
		b.t.Errorf("states of %s (-want +got):\n%s", n, diff)
	}
}

func (b *bubble) expectChanges(want ...link.Name) {
	b.t.Helper()
	if got := b.takeChanges(); !slices.Equal(got, want) {
		b.t.Errorf("onChange was called for %v, want %v", got, want)
	}
}

// series is how many series there are.
func (b *bubble) series(names ...string) int {
	b.t.Helper()
	n, err := testutil.GatherAndCount(b.reg, names...)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// value is the value of the one series of a counter or gauge that has these label values.
func (b *bubble) value(metric string, labels map[string]string) float64 {
	b.t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != metric {
			continue
		}
		for _, m := range family.GetMetric() {
			matches := 0
			for _, pair := range m.GetLabel() {
				if labels[pair.GetName()] == pair.GetValue() {
					matches++
				}
			}
			if matches == len(labels) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	b.t.Errorf("no series %s%v", metric, labels)
	return -1
}

// testLink is a Link to cluster east with these gateway addresses.
func testLink(addresses ...string) link.Link {
	return link.Link{
		Name: "east", Cluster: "east",
		Gateway: &link.Gateway{
			Addresses: addresses,
			Port:      4143,
			Probe: link.Probe{
				Path: "/ready", Port: 4191, Period: period, Timeout: period, FailureThreshold: 3,
			},
		},
	}
}

// changedLink is l with edits to a copy of its gateway.
func changedLink(l link.Link, edit func(*link.Gateway)) link.Link {
	gw := *l.Gateway
	gw.Addresses = slices.Clone(gw.Addresses)
	edit(&gw)
	l.Gateway = &gw
	return l
}
