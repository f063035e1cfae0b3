package build

import "github.com/prometheus/client_golang/prometheus"

// NewMetrics registers linkspan_build_info with reg. Registering it twice is a mistake in the program that its first start
// shows, so that ends it.
func NewMetrics(reg prometheus.Registerer, version string) {
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "linkspan_build_info",
		Help: "Always 1; the version of the program is its label.",
	}, []string{"version"})
	reg.MustRegister(info)
	info.WithLabelValues(version).Set(1)
}
