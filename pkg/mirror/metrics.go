package mirror

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

const clusterLabel = "target_cluster_name"

// Metrics of the mirrors, all labelled with the target cluster's name.
type Metrics struct {
	mirrors      *prometheus.GaugeVec
	endpointless *prometheus.GaugeVec
	services     *prometheus.GaugeVec
	writes       *prometheus.CounterVec
	repairs      *prometheus.CounterVec
	held         *prometheus.GaugeVec
	propagation  *prometheus.HistogramVec
	egressPorts  *PortGauges
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		mirrors: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "linkspan_mirrors",
			Help: "Mirrors in this cluster, by mode: gateway or remote-discovery.",
		}, []string{clusterLabel, "mode"}),
		endpointless: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "linkspan_mirrors_without_endpoints",
			Help: "Mirrors that have no ready endpoint, so that whoever calls them fails.",
		}, []string{clusterLabel}),
		services: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "linkspan_services",
			Help: "Exported services by what became of them: Mirrored, Kept, Refused, Waiting or Deleting.",
		}, []string{clusterLabel, "state"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "linkspan_mirror_writes_total",
			Help: "Writes to the local API server for mirrors.",
		}, []string{clusterLabel}),
		//nolint:promlinter // Linkerd's name, which dashboards use (compat: metrics)
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "service_mirror_endpoint_repairs",
			Help: "Endpoint slices that were put back after somebody else changed or deleted them.",
		}, []string{clusterLabel}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "linkspan_mass_deletion_held",
			Help: "Whether the deletion of many mirrors at once is held (1) or not (0).",
		}, []string{clusterLabel}),
		propagation: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "linkspan_mirror_propagation_seconds",
			Help:    "Time from seeing a change in the target to the acknowledgement of the local write that follows from it.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{clusterLabel}),
	}
	m.egressPorts = newPortGauges()
	reg.MustRegister(m.mirrors, m.endpointless, m.services, m.writes, m.repairs, m.held, m.propagation, m.egressPorts)
	return m
}

// moved counts a service from one outcome into another.
func (m *Metrics) moved(cluster string, before, after plan.Outcome) {
	count := func(o plan.Outcome, by float64) {
		if o.State == "" || o.State == plan.StateNone {
			return
		}
		m.services.WithLabelValues(cluster, string(o.State)).Add(by)
		if o.State == plan.StateMirrored || o.State == plan.StateKept {
			m.mirrors.WithLabelValues(cluster, string(o.Mode)).Add(by)
			without := 0.0 // the series is there from the first mirror on
			if !o.Ready {
				without = by
			}
			m.endpointless.WithLabelValues(cluster).Add(without)
		}
	}
	count(before, -1)
	count(after, 1)
}

func (m *Metrics) braked(cluster string, held bool) {
	value := 0.0
	if held {
		value = 1
	}
	m.held.WithLabelValues(cluster).Set(value)
}

// forget removes every series of a cluster.
func (m *Metrics) forget(cluster string) {
	match := prometheus.Labels{clusterLabel: cluster}
	for _, v := range []interface {
		DeletePartialMatch(prometheus.Labels) int
	}{m.mirrors, m.endpointless, m.services, m.writes, m.repairs, m.held, m.propagation} {
		v.DeletePartialMatch(match)
	}
}

// arrivals remembers when a change of a key was first seen, until a write answers it.
type arrivals struct {
	now func() time.Time

	mu   sync.Mutex
	seen map[Key]time.Time
}

func newArrivals(now func() time.Time) *arrivals {
	return &arrivals{now: now, seen: map[Key]time.Time{}}
}

func (a *arrivals) note(k Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.seen[k]; !ok {
		a.seen[k] = a.now()
	}
}

// take returns how long ago the change was seen; ok is false when there was none.
func (a *arrivals) take(k Key) (time.Duration, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	since, ok := a.seen[k]
	if !ok {
		return 0, false
	}
	delete(a.seen, k)
	return a.now().Sub(since), true
}

func (a *arrivals) forget(name link.Name) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range a.seen {
		if k.Link == name {
			delete(a.seen, k)
		}
	}
}
