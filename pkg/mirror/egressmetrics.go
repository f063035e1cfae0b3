package mirror

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/linkspan/linkspan/pkg/mirror/ports"
)

// PortGauges are gauges of the ports of the egress, which are counted when somebody asks.
type PortGauges struct {
	ports, used *prometheus.Desc
	usage       atomic.Pointer[func() ports.Usage]
}

func newPortGauges() *PortGauges {
	return &PortGauges{
		ports: prometheus.NewDesc("linkspan_egress_ports",
			"Ports of --egress-ports by state: used by mirrors, resting after a mirror gave them back, or free.", []string{"state"}, nil),
		used: prometheus.NewDesc("linkspan_egress_ports_used",
			"Ports of the egress that the mirrors of one target have, of at most --max-egress-ports.", []string{clusterLabel}, nil),
	}
}

// Describe implements prometheus.Collector.
func (e *PortGauges) Describe(to chan<- *prometheus.Desc) {
	to <- e.ports
	to <- e.used
}

// Collect implements prometheus.Collector.
func (e *PortGauges) Collect(to chan<- prometheus.Metric) {
	count := e.usage.Load()
	if count == nil {
		return
	}
	usage := (*count)()
	for state, n := range map[string]int{"used": usage.Used, "resting": usage.Resting, "free": usage.Free} {
		to <- prometheus.MustNewConstMetric(e.ports, prometheus.GaugeValue, float64(n), state)
	}
	for cluster, n := range usage.ByCluster {
		to <- prometheus.MustNewConstMetric(e.used, prometheus.GaugeValue, float64(n), cluster)
	}
}
