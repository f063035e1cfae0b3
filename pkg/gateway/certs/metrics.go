package certs

import (
	"crypto/x509"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Values of the labels.
const (
	certificateLeaf   = "leaf"
	certificateIssuer = "issuer"
	certificateAnchor = "anchor"

	resultAccepted = "accepted"
	resultRefused  = "refused"
)

// Metrics are the metrics of one set of certificates (CERT-7).
type Metrics struct {
	expiry   *prometheus.GaugeVec
	lifetime *prometheus.GaugeVec
	reloads  *prometheus.CounterVec
}

// NewMetrics registers the metrics with reg, under names that begin with linkspan_ and subsystem, which
// is "gateway" for a gateway. Registering them twice is a mistake in the program that its first start
// shows, so that ends it.
func NewMetrics(reg prometheus.Registerer, subsystem string) *Metrics {
	m := &Metrics{
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "linkspan", Subsystem: subsystem, Name: "certificate_expiry_timestamp_seconds",
			Help: "When a certificate in force expires, in seconds since 1970: the leaf, the first of its issuers, and the first of the trust anchors that are valid now.",
		}, []string{"certificate"}),
		lifetime: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "linkspan", Subsystem: subsystem, Name: "certificate_lifetime_seconds",
			Help: "For how long the certificate that expires then is valid in all: what is soon for one of a year is late for one of a day.",
		}, []string{"certificate"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "linkspan", Subsystem: subsystem, Name: "certificate_reloads_total",
			Help: "New sets of certificate files, by whether they were accepted or refused.",
		}, []string{"result"}),
	}
	for _, result := range []string{resultAccepted, resultRefused} {
		m.reloads.WithLabelValues(result)
	}
	reg.MustRegister(m.expiry, m.lifetime, m.reloads)
	return m
}

func (m *Metrics) countReload(result string) { m.reloads.WithLabelValues(result).Inc() }

// setExpiry is called often, because time takes anchors out of the count.
func (m *Metrics) setExpiry(mat *material, now time.Time) {
	m.set(certificateLeaf, mat.chain[:1])
	m.set(certificateIssuer, mat.chain[1:max(1, len(mat.chain)-1)])
	var valid []*x509.Certificate
	for _, anchor := range mat.anchors {
		if validAt(anchor, now) {
			valid = append(valid, anchor)
		}
	}
	m.set(certificateAnchor, valid)
}

// set removes the series when there is no such certificate.
func (m *Metrics) set(name string, certs []*x509.Certificate) {
	if len(certs) == 0 {
		m.expiry.DeleteLabelValues(name)
		m.lifetime.DeleteLabelValues(name)
		return
	}
	first := firstToEnd(certs)
	m.expiry.WithLabelValues(name).Set(float64(first.NotAfter.Unix()))
	m.lifetime.WithLabelValues(name).Set(first.NotAfter.Sub(first.NotBefore).Seconds())
}
