package stream

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetricsFollowTheRules(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	NewMetrics(reg, Ingress, Egress)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// OBS-7: what streams there were, what became of them, how much they carried, how long they waited.
func TestStreamsAreCounted(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	r := NewRecorder(LogOptions{}, io.Discard, NewMetrics(reg))
	for range 4 {
		r.Opened(Ingress, ViaMux)
	}
	r.Opened(Ingress, ViaTCP)
	r.Closed(Record{Side: Ingress, Via: ViaMux, Result: Done, Sent: 10, Received: 100, Connect: time.Millisecond, FirstByte: 2 * time.Second})
	r.Closed(Record{Side: Ingress, Via: ViaMux, Result: Denied, Reason: ReasonClientNotAllowed})
	r.Closed(Record{Side: Ingress, Via: ViaMux, Result: Failed, Reason: "made up by a client"})
	r.Closed(Record{Side: Ingress, Via: ViaLane, OpenedVia: ViaTCP, Result: Refused, Reason: ReasonFull})
	want := `
# HELP linkspan_gateway_bytes_total Bytes of streams, sent to and received from the application (ingress) or the gateway of the target (egress).
# TYPE linkspan_gateway_bytes_total counter
linkspan_gateway_bytes_total{direction="received",side="ingress"} 100
linkspan_gateway_bytes_total{direction="sent",side="ingress"} 10
# HELP linkspan_gateway_open_streams Streams that are open, by what carries them.
# TYPE linkspan_gateway_open_streams gauge
linkspan_gateway_open_streams{side="ingress",via="lane"} 0
linkspan_gateway_open_streams{side="ingress",via="mux"} 1
linkspan_gateway_open_streams{side="ingress",via="other"} 0
linkspan_gateway_open_streams{side="ingress",via="tcp"} 0
linkspan_gateway_open_streams{side="ingress",via="tls"} 0
# HELP linkspan_gateway_streams_total Streams that ended, by what carried them and what became of them: done, aborted, denied, refused or failed.
# TYPE linkspan_gateway_streams_total counter
linkspan_gateway_streams_total{reason="",result="done",side="ingress",via="lane"} 0
linkspan_gateway_streams_total{reason="",result="done",side="ingress",via="mux"} 1
linkspan_gateway_streams_total{reason="",result="done",side="ingress",via="other"} 0
linkspan_gateway_streams_total{reason="",result="done",side="ingress",via="tcp"} 0
linkspan_gateway_streams_total{reason="",result="done",side="ingress",via="tls"} 0
linkspan_gateway_streams_total{reason="client_not_allowed",result="denied",side="ingress",via="mux"} 1
linkspan_gateway_streams_total{reason="full",result="refused",side="ingress",via="lane"} 1
linkspan_gateway_streams_total{reason="other",result="failed",side="ingress",via="mux"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "linkspan_gateway_streams_total",
		"linkspan_gateway_open_streams", "linkspan_gateway_bytes_total"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(r.metrics.connect); n != 1 {
		t.Errorf("%d series of connect_seconds, want that of the ingress alone", n)
	}
}

// Bytes that were told of while a stream lasted are not counted again at its end.
func TestBytesAreCountedOnce(t *testing.T) {
	t.Parallel()
	m := NewMetrics(prometheus.NewPedanticRegistry())
	r := NewRecorder(LogOptions{}, io.Discard, m)
	expect := func(sent, received float64) {
		t.Helper()
		s := m.of(Egress)
		if got := [2]float64{testutil.ToFloat64(s.sent), testutil.ToFloat64(s.received)}; got != [2]float64{sent, received} {
			t.Errorf("counted %v, want %v sent and %v received", got, sent, received)
		}
	}
	r.Opened(Egress, ViaTLS)
	r.Bytes(Egress, Sent, 40)
	r.Bytes(Egress, Received, 7)
	expect(40, 7)
	r.Closed(Record{Side: Egress, Via: ViaTLS, Result: Done, Sent: 50, SentCounted: 40, Received: 7, ReceivedCounted: 7})
	expect(50, 7)
	r.Bytes(Egress, Sent, -1) // a counter would end the process
	r.Opened(Egress, ViaTLS)
	r.Closed(Record{Side: Egress, Via: ViaTLS, Result: Done, Sent: 1, SentCounted: 2})
	expect(50, 7)
}

func TestConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	r := NewRecorder(LogOptions{}, io.Discard, NewMetrics(reg, Ingress))
	r.ConnectionOpened(Ingress)
	r.ConnectionOpened(Ingress)
	r.ConnectionOpened(Ingress)
	r.ConnectionClosed(Ingress, ConnectionFailed)
	r.HandshakeFailed(Ingress, "unknown_authority")
	r.ConnectionClosed(Ingress, ConnectionUnused)
	r.ConnectionTurnedAway(Ingress)
	r.DialFailed(Ingress, ReasonConnectionRefused)
	r.DialFailed(Ingress, "10.0.0.1:80 says no")
	want := `
# HELP linkspan_gateway_connections_total TLS connections between clusters that ended, by what they were good for: served, unused, failed or refused.
# TYPE linkspan_gateway_connections_total counter
linkspan_gateway_connections_total{result="failed",side="ingress"} 1
linkspan_gateway_connections_total{result="refused",side="ingress"} 1
linkspan_gateway_connections_total{result="served",side="ingress"} 0
linkspan_gateway_connections_total{result="unused",side="ingress"} 1
# HELP linkspan_gateway_dial_errors_total Connections to an application (ingress) or a gateway (egress) that could not be made, by reason.
# TYPE linkspan_gateway_dial_errors_total counter
linkspan_gateway_dial_errors_total{reason="connection_refused",side="ingress"} 1
linkspan_gateway_dial_errors_total{reason="other",side="ingress"} 1
# HELP linkspan_gateway_handshake_failures_total TLS handshakes between clusters that failed, by reason.
# TYPE linkspan_gateway_handshake_failures_total counter
linkspan_gateway_handshake_failures_total{reason="unknown_authority",side="ingress"} 1
# HELP linkspan_gateway_open_connections TLS connections between clusters that are open.
# TYPE linkspan_gateway_open_connections gauge
linkspan_gateway_open_connections{side="ingress"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "linkspan_gateway_connections_total", "linkspan_gateway_dial_errors_total",
		"linkspan_gateway_handshake_failures_total", "linkspan_gateway_open_connections"); err != nil {
		t.Error(err)
	}
}

// A side, result or via that is none cannot make series of its own.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	m := NewMetrics(prometheus.NewPedanticRegistry(), Ingress, Egress)
	r := NewRecorder(LogOptions{}, io.Discard, m)
	for s := range strings.SplitSeq("abcdefghij", "") {
		r.Opened(Side(s), s)
		r.Closed(Record{Side: Side(s), Via: s, Result: Result(s), Reason: s})
		r.HandshakeFailed(Side(s), s)
		r.DialFailed(Side(s), s)
	}
	for name, c := range map[string]struct {
		metric prometheus.Collector
		series int
	}{
		"streams_total":            {m.streams, 11},
		"open_streams":             {m.openStreams, 10},
		"handshake_failures_total": {m.handshakes, 1},
		"dial_errors_total":        {m.dials, 1},
	} {
		if got := testutil.CollectAndCount(c.metric); got != c.series {
			t.Errorf("%s has %d series, want %d", name, got, c.series)
		}
	}
}

// The end of a stream that all went well for costs no memory while the access log is off.
func TestAnOrdinaryStreamAllocatesNothing(t *testing.T) {
	r := NewRecorder(LogOptions{}, io.Discard, NewMetrics(prometheus.NewPedanticRegistry(), Ingress))
	rec := full()
	rec.Side, rec.Result, rec.Reason, rec.Err = Ingress, Done, "", nil
	if n := testing.AllocsPerRun(100, func() {
		r.Opened(Ingress, ViaLane)
		r.Closed(rec)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
