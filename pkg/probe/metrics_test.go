package probe

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/linkspan/linkspan/pkg/link"
)

// Names of our own follow the rules. Linkerd's do not all, but dashboards and alerts know them.
func TestMetricNames(t *testing.T) {
	upstream := map[string]string{
		"gateway_probes":           "a counter without _total",
		"gateway_probe_latency_ms": "milliseconds, and abbreviated",
	}
	reg := prometheus.NewRegistry()
	fill(NewMetrics(reg))
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	excused := map[string]bool{}
	for _, p := range problems {
		if upstream[p.Metric] == "" {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
		excused[p.Metric] = true
	}
	for name := range upstream {
		if !excused[name] {
			t.Errorf("%s needs no excuse any more", name)
		}
	}
}

// fill gives each metric a series.
func fill(m *Metrics) {
	ip := parseAddrs("192.0.2.1")[0]
	m.setEnabled("east", true)
	m.setVerdict("east", Alive)
	m.setAddressVerdict("east", ip, Alive)
	m.countProbe("east", ip, time.Millisecond, nil)
	m.countProbe("east", ip, 0, &Error{Step: StepConnect})
	m.countLookup("east", nil)
	m.setExpiry("east", expiry{leaf: time.Unix(1, 0), issuer: time.Unix(2, 0)})
}

// compat-linkerd §5: names and labels that exist elsewhere.
func TestUpstreamMetrics(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.net.set("192.0.2.1:4191", alive)
		b.g.Set(testLink("192.0.2.1"))
		b.advance(0)
		east := map[string]string{"target_cluster_name": "east"}
		for name, want := range map[string]float64{
			"gateway_enabled": 1, "gateway_alive": 1, "gateway_latency": 0, "gateway_probe_latency_ms": 1,
		} {
			if got := b.value(name, east); got != want {
				t.Errorf("%s = %v, want %v", name, got, want)
			}
		}
		if got := b.value("gateway_probes", map[string]string{"target_cluster_name": "east", "probe_successful": "true"}); got != 1 {
			t.Errorf("gateway_probes = %v, want 1", got)
		}
		b.g.Set(link.Link{Name: "east", Cluster: "east"})
		if got, n := b.value("gateway_enabled", east), b.series(); got != 0 || n != 1 {
			t.Errorf("without a gateway: gateway_enabled = %v of %d series, want 0 of 1", got, n)
		}
	})
}

// gateway_alive is absent while nothing is known.
func TestAliveIsAbsentWhileUnknown(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.g.Set(testLink("192.0.2.1"))
		b.advance(period)
		if n := b.series("gateway_alive", "linkspan_gateway_address_alive"); n != 0 {
			t.Errorf("%d series before the first verdict, want none", n)
		}
	})
}

// The only address known so far is dead, but a name may still give a live one.
func TestAliveIsAbsentWhileANameIsUnresolved(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.dns.hangs("gw.example.com")
		b.g.Set(changedLink(testLink("192.0.2.1", "gw.example.com"), func(gw *link.Gateway) { gw.Probe.FailureThreshold = 1 }))
		b.advance(lookupTimeout - 1)
		b.expectStates("east", map[string]State{"192.0.2.1": Dead})
		if n := b.series("gateway_alive"); n != 0 {
			t.Errorf("gateway_alive is there while a name has had no answer")
		}
		b.advance(1)
		if got := b.value("gateway_alive", map[string]string{"target_cluster_name": "east"}); got != 0 {
			t.Errorf("gateway_alive = %v, want 0", got)
		}
	})
}

// LESSON-3: a name that cannot be resolved at the start leaves nothing to probe, and so nothing to call dead.
func TestAliveIsAbsentWhileNothingCanBeProbed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.dns.fails("gw.example.com", errors.New("no answer"))
		b.net.set("192.0.2.1:4191", alive)
		b.g.Set(testLink("gw.example.com"))
		b.advance(10 * period)
		if n := b.series("gateway_alive"); n != 0 {
			t.Errorf("gateway_alive is there although no address is known")
		}
		b.dns.gives("gw.example.com", "192.0.2.1")
		b.advance(time.Minute)
		if got := b.value("gateway_alive", map[string]string{"target_cluster_name": "east"}); got != 1 {
			t.Errorf("gateway_alive = %v, want 1", got)
		}
		b.dns.fails("other.example.com", errors.New("no answer"))
		b.g.Set(testLink("other.example.com"))
		b.advance(time.Minute)
		if n := b.series("gateway_alive"); n != 0 {
			t.Errorf("gateway_alive tells of a gateway that the Link does not have any more")
		}
	})
}

// LESSON-59: every probe counts, also a failure that moves no verdict; and each failure has its step.
func TestEveryProbeIsCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.net.set("192.0.2.1:4191", flaps())
		b.g.Set(testLink("192.0.2.1"))
		b.advance(20 * period)
		b.expectStates("east", map[string]State{"192.0.2.1": Alive})
		good := b.value("gateway_probes", map[string]string{"probe_successful": "true"})
		bad := b.value("gateway_probes", map[string]string{"probe_successful": "false"})
		if total := b.net.dialed("192.0.2.1:4191"); good+bad != float64(total) || good-bad < 0 || good-bad > 1 {
			t.Errorf("counted %v good and %v bad probes of %d", good, bad, total)
		}
		failures := b.value("linkspan_gateway_address_probe_failures_total", map[string]string{"address": "192.0.2.1", "step": "http"})
		if failures != bad {
			t.Errorf("%v failures by step, want %v", failures, bad)
		}
	})
}

// LESSON-59: 200 links come and go, and leave no series behind.
func TestSeriesGoWithTheLink(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.net.set("192.0.2.1:4191", alive)
		b.dns.gives("gw.example.com", "192.0.2.3")
		base := b.series()
		for i := range 200 {
			l := testLink("192.0.2.1", "192.0.2.2", "gw.example.com", "missing.example.com")
			l.Name, l.Cluster = link.Name(fmt.Sprintf("link-%d", i)), fmt.Sprintf("cluster-%d", i)
			b.g.Set(l)
			b.advance(period * time.Duration(i%4))
			if b.series() == base {
				t.Fatal("a Link has no series")
			}
			b.g.Remove(l.Name)
		}
		b.advance(period)
		if got := b.series(); got != base {
			t.Errorf("%d series after all links had gone, want %d", got, base)
		}
	})
}

// The series of an address go with it, and with the name of its cluster.
func TestSeriesGoWithTheAddress(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.net.set("192.0.2.1:4191", alive)
		b.g.Set(testLink("192.0.2.1", "192.0.2.2"))
		b.advance(5 * period)
		perAddress := []string{"linkspan_gateway_address_alive", "linkspan_gateway_address_probe_failures_total"}
		if got := b.series(perAddress...); got != 3 {
			t.Fatalf("%d series of two addresses, one of which fails; want 3", got)
		}
		b.g.Set(testLink("192.0.2.1"))
		b.advance(5 * period)
		if got := b.series(perAddress...); got != 1 {
			t.Errorf("%d series after an address has gone, want 1", got)
		}
		renamed := testLink("192.0.2.1")
		renamed.Cluster = "west"
		b.g.Set(renamed)
		b.advance(5 * period)
		if got := b.value("gateway_alive", map[string]string{"target_cluster_name": "west"}); got != 1 {
			t.Errorf("gateway_alive of the new name = %v, want 1", got)
		}
		if got := b.series("gateway_alive", "gateway_enabled"); got != 2 {
			t.Errorf("%d series after the cluster got another name, want 2", got)
		}
	})
}

// A Link may be replaced by another one of the same cluster, in any order.
func TestSeriesStayWithTheSuccessor(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.net.set("192.0.2.1:4191", alive)
		b.g.Set(testLink("192.0.2.1"))
		successor := testLink("192.0.2.1")
		successor.Name = "east-2"
		b.g.Set(successor)
		b.advance(0)
		b.g.Remove("east")
		if got := b.series("gateway_alive", "gateway_enabled", "linkspan_gateway_address_alive"); got != 3 {
			t.Errorf("%d series after the first Link had gone, want 3", got)
		}
	})
}
