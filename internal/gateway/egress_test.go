package gateway

import (
	"io"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// The connections of an egress are counted as those of an ingress are: while they are open, and by what became of them.
func TestConnectionsToGatewaysAreCounted(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	recorder := stream.NewRecorder(stream.LogOptions{}, io.Discard, stream.NewMetrics(registry, stream.Egress))
	expect := func(open, served, failed string) {
		t.Helper()
		want := `
			# HELP linkspan_gateway_connections_total TLS connections between clusters that ended, by what they were good for: served, unused, failed or refused.
			# TYPE linkspan_gateway_connections_total counter
			linkspan_gateway_connections_total{result="failed",side="egress"} ` + failed + `
			linkspan_gateway_connections_total{result="served",side="egress"} ` + served + `
			# HELP linkspan_gateway_open_connections TLS connections between clusters that are open.
			# TYPE linkspan_gateway_open_connections gauge
			linkspan_gateway_open_connections{side="egress"} ` + open + "\n"
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "linkspan_gateway_connections_total", "linkspan_gateway_open_connections"); err != nil {
			t.Error(err)
		}
	}
	expect("0", "0", "0")
	first, second := countConnection(recorder), countConnection(recorder)
	expect("2", "0", "0")
	first(true)
	second(false)
	expect("0", "1", "1")
}
