package stream

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Labels of the metrics. None has values that a client chooses.
const (
	labelSide      = "side"
	labelVia       = "via"
	labelResult    = "result"
	labelReason    = "reason"
	labelDirection = "direction"
)

// ConnectionResult is what a TLS connection between clusters was good for.
type ConnectionResult string

// Results of a connection.
const (
	// ConnectionServed: it carried at least one stream, or could have.
	ConnectionServed ConnectionResult = "served"
	// ConnectionUnused: it was closed before it asked for anything, as health checks do.
	ConnectionUnused ConnectionResult = "unused"
	// ConnectionFailed: its handshake failed.
	ConnectionFailed ConnectionResult = "failed"
	// ConnectionRefused: there was no room for it.
	ConnectionRefused ConnectionResult = "refused"
)

// Metrics are the metrics of streams and of the connections that carry them.
type Metrics struct {
	streams      *prometheus.CounterVec
	openStreams  *prometheus.GaugeVec
	bytes        *prometheus.CounterVec
	connect      *prometheus.HistogramVec
	firstByte    *prometheus.HistogramVec
	handshakes   *prometheus.CounterVec
	openConns    *prometheus.GaugeVec
	connections  *prometheus.CounterVec
	dials        *prometheus.CounterVec
	dryRun       *prometheus.CounterVec
	droppedLines prometheus.Counter

	reasons map[string]struct{} // never changed
	ingress func() *series
	egress  func() *series
}

// latencies are the buckets of times, in seconds: from the next rack to the other side of the world, and
// to the limits of connecting.
var latencies = [...]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// NewMetrics registers the metrics with reg. The series of the sides given are there from the start, at
// zero, those of others when they are first needed. Registering them twice is a mistake in the program
// that its first start shows, so that ends it.
func NewMetrics(reg prometheus.Registerer, sides ...Side) *Metrics {
	m := &Metrics{
		streams: counter("streams_total",
			"Streams that ended, by what carried them and what became of them: done, aborted, denied, refused or failed.",
			labelSide, labelVia, labelResult, labelReason),
		openStreams: gauge("open_streams", "Streams that are open, by what carries them.", labelSide, labelVia),
		bytes: counter("bytes_total",
			"Bytes of streams, sent to and received from the application (ingress) or the gateway of the target (egress).",
			labelSide, labelDirection),
		connect: histogram("connect_seconds",
			"Time that it took to reach the application (ingress) or the gateway of the target (egress).", labelSide),
		firstByte: histogram("first_byte_seconds",
			"Time from the beginning of a stream to the first byte of the answer.", labelSide),
		handshakes: counter("handshake_failures_total",
			"TLS handshakes between clusters that failed, by reason.", labelSide, labelReason),
		openConns: gauge("open_connections", "TLS connections between clusters that are open.", labelSide),
		connections: counter("connections_total",
			"TLS connections between clusters that ended, by what they were good for: served, unused, failed or refused.",
			labelSide, labelResult),
		dials: counter("dial_errors_total",
			"Connections to an application (ingress) or a gateway (egress) that could not be made, by reason.", labelSide, labelReason),
		dryRun: counter("dry_run_denials_total",
			"Streams that would have been denied if the allow-list were in force.", labelSide),
		droppedLines: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "access_log_dropped_lines_total",
			Help: "Lines of the access log that were lost because its writer stalled or failed.",
		}),
		reasons: map[string]struct{}{},
	}
	reg.MustRegister(m.streams, m.openStreams, m.bytes, m.connect, m.firstByte, m.handshakes, m.openConns, m.connections,
		m.dials, m.dryRun, m.droppedLines)
	for _, reason := range Reasons() {
		m.reasons[reason] = struct{}{}
	}
	m.ingress = sync.OnceValue(func() *series { return m.newSeries(Ingress) })
	m.egress = sync.OnceValue(func() *series { return m.newSeries(Egress) })
	for _, side := range sides {
		m.of(side)
	}
	return m
}

const (
	namespace = "linkspan"
	subsystem = "gateway"
)

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
}

func histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: latencies[:],
	}, labels)
}

// series are those of one side that every stream needs, looked up once.
type series struct {
	open           map[string]prometheus.Gauge   // by via; never changed
	done           map[string]prometheus.Counter // by via; never changed
	sent, received prometheus.Counter
	connect        prometheus.Observer
	firstByte      prometheus.Observer
	dryRun         prometheus.Counter
}

func (m *Metrics) newSeries(side Side) *series {
	s := &series{
		open: map[string]prometheus.Gauge{}, done: map[string]prometheus.Counter{},
		sent:      m.bytes.WithLabelValues(string(side), string(Sent)),
		received:  m.bytes.WithLabelValues(string(side), string(Received)),
		connect:   m.connect.WithLabelValues(string(side)),
		firstByte: m.firstByte.WithLabelValues(string(side)),
		dryRun:    m.dryRun.WithLabelValues(string(side)),
	}
	for _, via := range vias() {
		s.open[via] = m.openStreams.WithLabelValues(string(side), via)
		s.done[via] = m.streams.WithLabelValues(string(side), via, string(Done), "")
	}
	m.openConns.WithLabelValues(string(side))
	for _, result := range connectionResults(side) {
		m.connections.WithLabelValues(string(side), string(result))
	}
	return s
}

// connectionResults are those that a side can have: an egress connects when it has a stream, and refuses nobody.
func connectionResults(side Side) []ConnectionResult {
	if side == Egress {
		return []ConnectionResult{ConnectionServed, ConnectionFailed}
	}
	return []ConnectionResult{ConnectionServed, ConnectionUnused, ConnectionFailed, ConnectionRefused}
}

func vias() []string { return []string{ViaTLS, ViaLane, ViaMux, ViaTCP, ReasonOther} }

// of gives the series of a side. There are but two.
func (m *Metrics) of(side Side) *series {
	if side == Egress {
		return m.egress()
	}
	return m.ingress()
}

func (s *series) via(via string) string {
	if _, ok := s.open[via]; ok {
		return via
	}
	return ReasonOther
}

func (m *Metrics) reason(reason string) string {
	if _, ok := m.reasons[reason]; ok || reason == "" {
		return reason
	}
	return ReasonOther
}

func (m *Metrics) opened(side Side, via string) {
	s := m.of(side)
	s.open[s.via(via)].Inc()
}

// closed counts a stream that ended.
func (m *Metrics) closed(r *Record) {
	s := m.of(r.Side)
	openedVia := r.OpenedVia
	if openedVia == "" {
		openedVia = r.Via
	}
	s.open[s.via(openedVia)].Dec()
	via := s.via(r.Via)
	if r.Result == Done && r.Reason == "" {
		s.done[via].Inc()
	} else {
		m.streams.WithLabelValues(sideName(r.Side), via, resultName(r.Result), m.reason(r.Reason)).Inc()
	}
	add(s.sent, r.Sent-r.SentCounted)
	add(s.received, r.Received-r.ReceivedCounted)
	observe(s.connect, r.Connect)
	observe(s.firstByte, r.FirstByte)
}

func (m *Metrics) countConnection(side Side, result ConnectionResult) {
	m.connections.WithLabelValues(sideName(side), string(result)).Inc()
}

func (m *Metrics) countReason(c *prometheus.CounterVec, side Side, reason string) {
	c.WithLabelValues(sideName(side), m.reason(reason)).Inc()
}

// sideName and resultName keep the labels to the words that there are, as reason does.
func sideName(side Side) string {
	if side == Egress {
		return string(Egress)
	}
	return string(Ingress)
}

func resultName(result Result) string {
	if slices.Contains([]Result{Done, Aborted, Denied, Refused, Failed}, result) {
		return string(result)
	}
	return ReasonOther
}

// add never takes away, which a counter refuses by ending the program.
func add(c prometheus.Counter, n int64) {
	if n > 0 {
		c.Add(float64(n))
	}
}

func observe(o prometheus.Observer, d time.Duration) {
	if d > 0 {
		o.Observe(d.Seconds())
	}
}
