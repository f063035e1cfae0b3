package mirror

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// compatible are the metrics whose names are Linkerd's and cannot follow today's rules.
func compatible(metric string) bool { return metric == "service_mirror_endpoint_repairs" }

func TestMetricsFollowTheRules(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	m := NewMetrics(registry)
	touch(m, "east")
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if !compatible(p.Metric) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func touch(m *Metrics, cluster string) {
	m.moved(cluster, plan.Outcome{}, isMirrored)
	m.braked(cluster, true)
	m.writes.WithLabelValues(cluster).Inc()
	m.repairs.WithLabelValues(cluster).Inc()
	m.propagation.WithLabelValues(cluster).Observe(1)
}

// LESSON-59: a Link takes its series with it, and nobody else's.
func TestMetricsForget(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	m := NewMetrics(registry)
	touch(m, "west")
	base, err := testutil.GatherAndCount(registry)
	if err != nil || base == 0 {
		t.Fatalf("%d series, error %v", base, err)
	}
	for range 20 {
		touch(m, "east")
		m.forget("east")
	}
	if after, err := testutil.GatherAndCount(registry); err != nil || after != base {
		t.Errorf("%d series (error %v), want %d as before", after, err, base)
	}
}

func TestMetricsMoved(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	m := NewMetrics(registry)
	discovery := plan.Outcome{State: plan.StateMirrored, Mode: link.ModeRemoteDiscovery}
	for _, move := range [][2]plan.Outcome{
		{{}, isMirrored},
		{isMirrored, kept},
		{{}, isMirrored},
		{isMirrored, discovery},
		{{}, waiting},
		{waiting, none},
		{none, refused},
	} {
		m.moved("east", move[0], move[1])
	}
	want := `
# HELP linkspan_mirrors Mirrors in this cluster, by mode: gateway or remote-discovery.
# TYPE linkspan_mirrors gauge
linkspan_mirrors{mode="gateway",target_cluster_name="east"} 1
linkspan_mirrors{mode="remote-discovery",target_cluster_name="east"} 1
# HELP linkspan_services Exported services by what became of them: Mirrored, Kept, Refused, Waiting or Deleting.
# TYPE linkspan_services gauge
linkspan_services{state="Kept",target_cluster_name="east"} 1
linkspan_services{state="Mirrored",target_cluster_name="east"} 1
linkspan_services{state="Refused",target_cluster_name="east"} 1
linkspan_services{state="Waiting",target_cluster_name="east"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "linkspan_mirrors", "linkspan_services"); err != nil {
		t.Error(err)
	}
}

// MIR-11: a mirror that has no ready endpoint is counted until it has one, ceases to be one, or goes.
func TestMetricsCountMirrorsWithoutEndpoints(t *testing.T) {
	t.Parallel()
	ready := func(o plan.Outcome) plan.Outcome {
		o.Ready = true
		return o
	}
	for name, c := range map[string]struct {
		moves []plan.Outcome
		want  string
	}{
		"a mirror with endpoints":           {moves: []plan.Outcome{ready(isMirrored)}, want: "0"},
		"a mirror without":                  {moves: []plan.Outcome{isMirrored}, want: "1"},
		"a mirror that lost them":           {moves: []plan.Outcome{ready(isMirrored), isMirrored}, want: "1"},
		"a mirror that got them":            {moves: []plan.Outcome{isMirrored, ready(isMirrored)}, want: "0"},
		"a mirror that is kept without":     {moves: []plan.Outcome{isMirrored, kept}, want: "1"},
		"a mirror that went without":        {moves: []plan.Outcome{isMirrored, none}, want: "0"},
		"a service that is no longer taken": {moves: []plan.Outcome{isMirrored, refused}, want: "0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			registry := prometheus.NewPedanticRegistry()
			m, before := NewMetrics(registry), plan.Outcome{}
			for _, after := range c.moves {
				m.moved("east", before, after)
				before = after
			}
			want := `
# HELP linkspan_mirrors_without_endpoints Mirrors that have no ready endpoint, so that whoever calls them fails.
# TYPE linkspan_mirrors_without_endpoints gauge
linkspan_mirrors_without_endpoints{target_cluster_name="east"} ` + c.want + "\n"
			if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "linkspan_mirrors_without_endpoints"); err != nil {
				t.Error(err)
			}
		})
	}
}

// The propagation of a change counts from when it was first seen, and once.
func TestArrivals(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := newArrivals(clock.Now)
	if _, seen := a.take(keyNamed("web")); seen {
		t.Error("took what never came")
	}
	a.note(keyNamed("web"))
	clock.advance(time.Second)
	a.note(keyNamed("web"))
	clock.advance(time.Second)
	if took, seen := a.take(keyNamed("web")); !seen || took != 2*time.Second {
		t.Errorf("took %s (%v), want 2s since the first of two changes", took, seen)
	}
	if _, seen := a.take(keyNamed("web")); seen {
		t.Error("one change was taken twice")
	}
	a.note(keyNamed("web"))
	a.forget("east")
	if len(a.seen) != 0 {
		t.Errorf("a Link that is gone is waited for: %v", a.seen)
	}
}
