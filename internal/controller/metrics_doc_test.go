package controller

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/linkspan/linkspan/internal/build"
	"github.com/linkspan/linkspan/internal/logging"
	"github.com/linkspan/linkspan/pkg/gateway/certs"
	"github.com/linkspan/linkspan/pkg/gateway/egress"
	"github.com/linkspan/linkspan/pkg/gateway/exports"
	"github.com/linkspan/linkspan/pkg/gateway/policy"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/link/remote"
	"github.com/linkspan/linkspan/pkg/mirror"
	"github.com/linkspan/linkspan/pkg/probe"
)

var update = flag.Bool("update", false, "write docs/metrics.md instead of comparing it")

// collectors keeps what is registered, so that its descriptions can be read.
type collectors []prometheus.Collector

// Register implements prometheus.Registerer.
func (c *collectors) Register(m prometheus.Collector) error { *c = append(*c, m); return nil }

// MustRegister implements prometheus.Registerer.
func (c *collectors) MustRegister(ms ...prometheus.Collector) { *c = append(*c, ms...) }

// Unregister implements prometheus.Registerer.
func (c *collectors) Unregister(prometheus.Collector) bool { return false }

var descText = regexp.MustCompile(`(?s)^Desc\{fqName: "([^"]+)", help: "(.+?)"(?:, unit: "[^"]*")?, constLabels: \{\}, variableLabels: \{([^}]*)\}`)

// docs/metrics.md lists every metric of ours: a metric without its line fails here (OBS-5, H8).
func TestMetricsReferenceIsCurrent(t *testing.T) {
	var controller collectors
	build.NewMetrics(&controller, "")
	logging.NewMetrics(&controller, &logging.Level{})
	remote.NewMetrics(&controller)
	mirror.NewMetrics(&controller)
	probe.NewMetrics(&controller)
	certs.NewMetrics(&controller, probeCertificates)
	var gateway collectors
	build.NewMetrics(&gateway, "")
	logging.NewMetrics(&gateway, &logging.Level{})
	certs.NewMetrics(&gateway, "gateway")
	egress.NewMetrics(&gateway)
	exports.NewMetrics(&gateway)
	policy.NewMetrics(&gateway)
	stream.NewMetrics(&gateway)

	doc := metricsHeader + describeMetrics(t, controller) + gatewayHeader + describeMetrics(t, gateway)
	const path = "../../docs/metrics.md"
	if *update {
		if err := os.WriteFile(path, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), doc); diff != "" {
		t.Errorf("docs/metrics.md is not current; run make generate (-have +want):\n%s", diff)
	}
}

// describeMetrics makes a table of metrics, sorted by name.
func describeMetrics(t *testing.T, all collectors) string {
	t.Helper()
	var lines []string
	for _, m := range all {
		ch := make(chan *prometheus.Desc, 16)
		m.Describe(ch)
		close(ch)
		for d := range ch {
			match := descText.FindStringSubmatch(d.String())
			if match == nil {
				t.Fatalf("cannot read the description %s", d)
			}
			labels := ""
			if match[3] != "" {
				labels = "`" + strings.ReplaceAll(match[3], ",", "`, `") + "`"
			}
			lines = append(lines, fmt.Sprintf("| `%s` | %s | %s | %s |\n", match[1], kindOf(t, m), labels, match[2]))
		}
	}
	slices.Sort(lines)
	return "\n| Name | Kind | Labels | Meaning |\n| --- | --- | --- | --- |\n" + strings.Join(lines, "")
}

func kindOf(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	switch c.(type) {
	case *prometheus.GaugeVec, prometheus.Gauge, *mirror.PortGauges:
		return "gauge"
	case *prometheus.CounterVec, prometheus.Counter:
		return "counter"
	case *prometheus.HistogramVec:
		return "histogram"
	case prometheus.GaugeFunc: // which every single metric is, so that this case is the last
		return "gauge"
	default:
		t.Fatalf("unknown kind of metric %T", c)
		return ""
	}
}

const metricsHeader = `# Metrics

Served as Prometheus text at ` + "`/metrics`" + ` of the admin address. This page is generated from the code by
` + "`make generate`" + ` and compared in a test.

## Controller

Its admin address is ` + "`:9999`" + ` by default. A Link's series go when the Link goes.

Names without the prefix ` + "`linkspan_`" + ` are those of Linkerd's multicluster extension and keep its meaning.
Beside these, controller-runtime's own metrics are served, and those of the process and of Go's runtime.
Alerts and the dashboard use these of them:

- ` + "`workqueue_depth{name=\"mirror\"}`" + `: the number of services that wait for their turn
- ` + "`controller_runtime_reconcile_total{controller,result}`" + ` and ` + "`controller_runtime_reconcile_errors_total{controller}`" + `, of the
  controllers link and mirror
- ` + "`leader_election_master_status{name=\"linkspan-mirror\"}`" + `: 1 at the leader, 0 at standbys
- ` + "`process_start_time_seconds`" + `, ` + "`process_cpu_seconds_total`" + ` and ` + "`process_resident_memory_bytes`" + `

Standbys are connected as the leader is; they do not probe, and write nothing: join with the leader before you read a gauge.
`

const gatewayHeader = `
## Gateway

Its admin address is ` + "`:4191`" + ` by default. The ingress has those of exports, the egress those of egress ports, both have
all others, with their own ` + "`side`" + `. Metrics of the process and of Go's runtime are served as well.
`
