package controller

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

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
	var all collectors
	remote.NewMetrics(&all)
	mirror.NewMetrics(&all)
	probe.NewMetrics(&all)

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
			labels := strings.ReplaceAll(match[3], ",", "`, `")
			lines = append(lines, fmt.Sprintf("| `%s` | %s | `%s` | %s |", match[1], kindOf(t, m), labels, match[2]))
		}
	}
	slices.Sort(lines)
	var doc bytes.Buffer
	doc.WriteString(metricsHeader)
	for _, line := range lines {
		doc.WriteString(line + "\n")
	}
	const path = "../../docs/metrics.md"
	if *update {
		if err := os.WriteFile(path, doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), doc.String()); diff != "" {
		t.Errorf("docs/metrics.md is not current; run make generate (-have +want):\n%s", diff)
	}
}

func kindOf(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	switch c.(type) {
	case *prometheus.GaugeVec, prometheus.Gauge:
		return "gauge"
	case *prometheus.CounterVec:
		return "counter"
	case *prometheus.HistogramVec:
		return "histogram"
	default:
		t.Fatalf("unknown kind of metric %T", c)
		return ""
	}
}

const metricsHeader = `# Metrics

Served as Prometheus text at ` + "`/metrics`" + ` of the admin address (` + "`:9999`" + ` by default). This page is generated from
the code by ` + "`make generate`" + ` and compared in a test. A Link's series go when the Link goes.

Names without the prefix ` + "`linkspan_`" + ` are those of Linkerd's multicluster extension and keep its meaning.
Beside these, controller-runtime's own metrics are served; ` + "`workqueue_depth{name=\"mirror\"}`" + ` is the number of
services that wait for their turn.

| Name | Kind | Labels | Meaning |
| --- | --- | --- | --- |
`
