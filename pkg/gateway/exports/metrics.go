package exports

import "github.com/prometheus/client_golang/prometheus"

// Labels of the metrics.
const (
	labelCause    = "cause"
	labelResource = "resource"
	labelVerb     = "verb"
)

// Metrics are the metrics of what is exported. None has a label that a client can choose.
type Metrics struct {
	exported prometheus.Gauge
	refused  *prometheus.GaugeVec
	invalid  prometheus.Gauge
	failures *prometheus.CounterVec
}

// NewMetrics registers the metrics with reg. Registering them twice is a mistake in the program that
// its first start shows, so that ends it.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		exported: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "linkspan_gateway_exported_services",
			Help: "Services of this cluster that can be reached through the gateway.",
		}),
		refused: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "linkspan_gateway_exports_refused",
			Help: "Services that carry the export label and cannot be reached through the gateway, by cause.",
		}, []string{labelCause}),
		invalid: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "linkspan_gateway_exports_invalid",
			Help: "Exported services whose list of allowed clients cannot be read, so that it allows nobody.",
		}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "linkspan_gateway_exports_watch_failures_total",
			Help: "Requests to the API server for what is exported that failed.",
		}, []string{labelResource, labelVerb}),
	}
	for _, cause := range causes() {
		m.refused.WithLabelValues(cause)
	}
	reg.MustRegister(m.exported, m.refused, m.invalid, m.failures)
	return m
}

// count adds a service to the gauges, n = 1, or takes it away, n = -1. None counts for nothing.
func (m *Metrics) count(s *service, n float64) {
	if s == nil {
		return
	}
	if s.refused != (refusal{}) {
		m.refused.WithLabelValues(s.refused.cause).Add(n)
		return
	}
	m.exported.Add(n)
	if s.clients.invalid {
		m.invalid.Add(n)
	}
}
