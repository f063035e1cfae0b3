package policy

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the metrics of the gateway's own allow-list.
type Metrics struct{ stale prometheus.Gauge }

// NewMetrics registers the metrics with reg. Registering them twice is a mistake in the program that
// its first start shows, so that ends it.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{stale: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "linkspan_gateway_allowed_clients_stale",
		Help: "1 while the file of the gateway's allow-list cannot be read or parsed, so that an earlier one is in force, else 0.",
	})}
	reg.MustRegister(m.stale)
	return m
}

func (m *Metrics) setStale(stale bool) {
	if stale {
		m.stale.Set(1)
	} else {
		m.stale.Set(0)
	}
}
