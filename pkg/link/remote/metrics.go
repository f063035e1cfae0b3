package remote

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// Metrics of the connections, labelled with the target cluster's name, and of the Links' conditions, labelled with the
// Link's: one that is refused may have no cluster, or another's.
type Metrics struct {
	connected        *prometheus.GaugeVec
	attempts         *prometheus.CounterVec
	credentialErrors *prometheus.CounterVec
	expiry           *prometheus.GaugeVec
	conditions       *prometheus.GaugeVec

	mu       sync.Mutex
	clusters map[link.Name]string
}

const clusterLabel = "target_cluster_name"

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		connected: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "linkspan_link_connected",
			Help: "Whether a synced connection to the target's API server is in use (1) or not (0).",
		}, []string{clusterLabel}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "linkspan_link_connection_changes_total",
			Help: "Connections made, attempts that failed and connections lost, by reason; Connected is a success.",
		}, []string{clusterLabel, "reason"}),
		credentialErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "linkspan_link_credential_errors_total",
			Help: "Times that credentials came to be missing or unusable, or were refused by the target, by reason.",
		}, []string{clusterLabel, "reason"}),
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "linkspan_link_credentials_expiration_timestamp_seconds",
			Help: "When the credentials of a Link expire, in Unix time; absent when they do not say.",
		}, []string{clusterLabel}),
		conditions: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "linkspan_link_condition",
			Help: "Whether a condition of a Link is true (1) or false (0), as the leader last found it; absent while it is unknown.",
		}, []string{"link", "condition"}),
		clusters: map[link.Name]string{},
	}
	reg.MustRegister(m.connected, m.attempts, m.credentialErrors, m.expiry, m.conditions)
	return m
}

func (m *Metrics) connection(name link.Name, cluster string, connected bool, f *Failure) {
	m.remember(name, cluster)
	value, reason := 0.0, v1alpha3.ReasonConnected
	if connected {
		value = 1
	}
	if f != nil {
		reason = f.Reason
	}
	m.connected.WithLabelValues(cluster).Set(value)
	m.attempts.WithLabelValues(cluster, reason).Inc()
	if reason == v1alpha3.ReasonUnauthorized {
		m.credentialErrors.WithLabelValues(cluster, reason).Inc()
	}
}

// credentials counts a failure once, when it is new, however often the Link is looked at.
func (m *Metrics) credentials(name link.Name, cluster string, f *Failure, isNew bool, expiry time.Time) {
	m.remember(name, cluster)
	if isNew {
		m.credentialErrors.WithLabelValues(cluster, f.Reason).Inc()
	}
	if expiry.IsZero() {
		m.expiry.DeleteLabelValues(cluster)
		return
	}
	m.expiry.WithLabelValues(cluster).Set(float64(expiry.Unix()))
}

func (m *Metrics) status(name link.Name, conditions []metav1.Condition) {
	for _, c := range conditions {
		switch c.Status {
		case metav1.ConditionTrue:
			m.conditions.WithLabelValues(string(name), c.Type).Set(1)
		case metav1.ConditionFalse:
			m.conditions.WithLabelValues(string(name), c.Type).Set(0)
		default:
			m.conditions.DeleteLabelValues(string(name), c.Type)
		}
	}
}

func (m *Metrics) forgetStatus(name link.Name) {
	m.conditions.DeletePartialMatch(prometheus.Labels{"link": string(name)})
}

func (m *Metrics) remember(name link.Name, cluster string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clusters[name] = cluster
}

// Forget removes every series of a Link.
func (m *Metrics) Forget(name link.Name) {
	m.forgetStatus(name)
	m.mu.Lock()
	cluster, ok := m.clusters[name]
	delete(m.clusters, name)
	m.mu.Unlock()
	if !ok {
		return
	}
	match := prometheus.Labels{clusterLabel: cluster}
	m.connected.DeletePartialMatch(match)
	m.attempts.DeletePartialMatch(match)
	m.credentialErrors.DeletePartialMatch(match)
	m.expiry.DeletePartialMatch(match)
}
