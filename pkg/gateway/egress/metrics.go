package egress

import "github.com/prometheus/client_golang/prometheus"

// Labels of the metrics, and the values of state.
const (
	labelState    = "state"
	labelCause    = "cause"
	labelResource = "resource"
	labelVerb     = "verb"

	stateListening = "listening"
	stateFailed    = "failed"
)

// Metrics are the metrics of the egress's ports and of what it knows. None has a label that a client or
// another cluster can choose. What becomes of streams is counted by package stream.
type Metrics struct {
	ports     *prometheus.GaugeVec
	conflicts prometheus.Gauge
	faults    *prometheus.GaugeVec
	failures  *prometheus.CounterVec
}

// NewMetrics registers the metrics with reg. Registering them twice is a mistake in the program that
// its first start shows, so that ends it.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		ports: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "linkspan_gateway_egress_ports",
			Help: "Ports that were given to mirrors, by whether they are listened on or could not be opened.",
		}, []string{labelState}),
		conflicts: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "linkspan_gateway_egress_port_conflicts",
			Help: "Claims of ports without effect: slices of another mirror lead to the port, or several mirrors claim it and none do.",
		}),
		faults: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "linkspan_gateway_egress_faults",
			Help: "Mirrors and Links that say something which cannot be used, by cause.",
		}, []string{labelCause}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "linkspan_gateway_egress_watch_failures_total",
			Help: "Requests to the API server for mirrors and Links that failed.",
		}, []string{labelResource, labelVerb}),
	}
	m.setPorts(0, 0)
	m.setRoutes(Routes{})
	reg.MustRegister(m.ports, m.conflicts, m.faults, m.failures)
	return m
}

func (m *Metrics) setPorts(listening, failed int) {
	m.ports.WithLabelValues(stateListening).Set(float64(listening))
	m.ports.WithLabelValues(stateFailed).Set(float64(failed))
}

func (m *Metrics) setRoutes(r Routes) {
	m.conflicts.Set(float64(len(r.Conflicts)))
	count := map[Cause]int{}
	for _, f := range r.Faults {
		count[f.Cause]++
	}
	for _, cause := range causes() {
		m.faults.WithLabelValues(string(cause)).Set(float64(count[cause]))
	}
}
