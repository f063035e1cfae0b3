package logging

import "github.com/prometheus/client_golang/prometheus"

// NewMetrics registers linkspan_log_level with reg: that a process was left at debug must not go unseen (OBS-15).
// Registering it twice is a mistake in the program that its first start shows, so that ends it.
func NewMetrics(reg prometheus.Registerer, l *Level) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "linkspan_log_level",
		Help: "Log level in force: 8 is error, 4 warn, 0 info, -4 debug.",
	}, func() float64 { return float64(l.current.Level()) }))
}
