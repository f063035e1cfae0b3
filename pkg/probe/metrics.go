package probe

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Labels of the metrics. The first two are Linkerd's.
const (
	labelCluster    = "target_cluster_name"
	labelSuccessful = "probe_successful"
	labelAddress    = "address"
	labelStep       = "step"
	labelResult     = "result"
	// labelCertificate is leaf or issuer.
	labelCertificate = "certificate"
)

// Metrics are the metrics of probing. Those whose names do not begin with linkspan_ are Linkerd's:
// dashboards and alerts know them by these names, units and labels.
type Metrics struct {
	enabled  *prometheus.GaugeVec
	alive    *prometheus.GaugeVec
	latency  *prometheus.GaugeVec
	latencyH *prometheus.HistogramVec
	probes   *prometheus.CounterVec

	addressAlive    *prometheus.GaugeVec
	addressFailures *prometheus.CounterVec
	lookups         *prometheus.CounterVec

	certificateExpiry *prometheus.GaugeVec
}

// NewMetrics registers the metrics with reg. Registering them twice is a mistake in the program
// that its first start shows, so that ends it.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		enabled: gauge("gateway_enabled",
			"1 if the Link has a gateway, 0 if it has none.", labelCluster),
		alive: gauge("gateway_alive",
			"1 if an address of the gateway is alive, 0 if none is; absent until that is known.", labelCluster),
		latency: gauge("gateway_latency",
			"Latency in milliseconds of the gateway's last successful probe.", labelCluster),
		latencyH: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "gateway_probe_latency_ms",
			Help:    "Latency in milliseconds of the gateway's successful probes.",
			Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000},
		}, []string{labelCluster}),
		probes: counter("gateway_probes",
			"Probes of the gateway's addresses, by whether they succeeded.", labelCluster, labelSuccessful),
		addressAlive: gauge("linkspan_gateway_address_alive",
			"1 if the gateway's address is alive, 0 if it is dead; absent until that is known.", labelCluster, labelAddress),
		addressFailures: counter("linkspan_gateway_address_probe_failures_total",
			"Failed probes of a gateway's address, by the step that failed.", labelCluster, labelAddress, labelStep),
		lookups: counter("linkspan_gateway_lookups_total",
			"Look-ups of the gateway's DNS names, by result.", labelCluster, labelResult),
		certificateExpiry: gauge("linkspan_probe_gateway_certificate_expiry_timestamp_seconds",
			"When the certificate that the gateway last presented to a probe expires, and when its issuer's does, in Unix time; "+
				"the soonest of the gateway's addresses. Absent while probes make no TLS handshake.", labelCluster, labelCertificate),
	}
	reg.MustRegister(m.enabled, m.alive, m.latency, m.latencyH, m.probes, m.addressAlive, m.addressFailures, m.lookups,
		m.certificateExpiry)
	return m
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func (m *Metrics) setEnabled(cluster string, enabled bool) {
	m.enabled.WithLabelValues(cluster).Set(number(enabled))
}

// setVerdict leaves the gauge as it is while the verdict is Unknown; see forgetVerdict.
func (m *Metrics) setVerdict(cluster string, verdict State) {
	if verdict != Unknown {
		m.alive.WithLabelValues(cluster).Set(number(verdict == Alive))
	}
}

// forgetVerdict is for a gateway without an address: what was found at others says nothing of it.
func (m *Metrics) forgetVerdict(cluster string) { m.alive.DeleteLabelValues(cluster) }

// countProbe counts every probe, whatever its result and the thresholds (LESSON-59).
func (m *Metrics) countProbe(cluster string, ip netip.Addr, latency time.Duration, err error) {
	m.probes.WithLabelValues(cluster, strconv.FormatBool(err == nil)).Inc()
	if err != nil {
		m.addressFailures.WithLabelValues(cluster, ip.String(), string(stepOf(err))).Inc()
		return
	}
	milliseconds := float64(latency) / float64(time.Millisecond)
	m.latency.WithLabelValues(cluster).Set(milliseconds)
	m.latencyH.WithLabelValues(cluster).Observe(milliseconds)
}

func (m *Metrics) setAddressVerdict(cluster string, ip netip.Addr, verdict State) {
	if verdict != Unknown {
		m.addressAlive.WithLabelValues(cluster, ip.String()).Set(number(verdict == Alive))
	}
}

func (m *Metrics) countLookup(cluster string, err error) {
	result := "success"
	if err != nil {
		result = "failure"
	}
	m.lookups.WithLabelValues(cluster, result).Inc()
}

// setExpiry removes the series of what is not known.
func (m *Metrics) setExpiry(cluster string, e expiry) {
	for certificate, at := range map[string]time.Time{"leaf": e.leaf, "issuer": e.issuer} {
		if at.IsZero() {
			m.certificateExpiry.DeleteLabelValues(cluster, certificate)
			continue
		}
		m.certificateExpiry.WithLabelValues(cluster, certificate).Set(float64(at.Unix()))
	}
}

func (m *Metrics) forgetAddress(cluster string, ip netip.Addr) {
	labels := prometheus.Labels{labelCluster: cluster, labelAddress: ip.String()}
	m.addressAlive.DeletePartialMatch(labels)
	m.addressFailures.DeletePartialMatch(labels)
}

// forget removes every series of a cluster.
func (m *Metrics) forget(cluster string) {
	labels := prometheus.Labels{labelCluster: cluster}
	for _, v := range []interface {
		DeletePartialMatch(prometheus.Labels) int
	}{m.enabled, m.alive, m.latency, m.latencyH, m.probes, m.addressAlive, m.addressFailures, m.lookups, m.certificateExpiry} {
		v.DeletePartialMatch(labels)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
