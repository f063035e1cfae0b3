package test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// measured is what docs/metrics.md says of a metric.
type measured struct {
	// kind is empty for metrics of libraries, which the page names without it.
	kind   string
	labels []string
}

var (
	ownMetric     = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (gauge|counter|histogram) \\| ([^|]*) \\|")
	foreignMetric = regexp.MustCompile("`([a-z]+_[a-z_]+)(?:\\{([^}`]*)\\})?`")
	labelName     = regexp.MustCompile("[a-z_]+")
)

// documentedMetrics reads docs/metrics.md, which is held to the code by a test of its own.
func documentedMetrics(t *testing.T) map[string]measured {
	t.Helper()
	page, all := readFile(t, "../../docs/metrics.md"), map[string]measured{}
	preamble, _, _ := strings.Cut(page, "\n| Name |")
	for _, m := range foreignMetric.FindAllStringSubmatch(preamble, -1) {
		var names []string
		for pair := range strings.SplitSeq(m[2], ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(pair), "=")
			names = append(names, name)
		}
		all[m[1]] = measured{labels: names}
	}
	for _, m := range ownMetric.FindAllStringSubmatch(page, -1) {
		all[m[1]] = measured{kind: m[2], labels: labelName.FindAllString(m[3], -1)}
	}
	if len(all) < 40 {
		t.Fatalf("docs/metrics.md has %d metrics: its form has changed", len(all))
	}
	return all
}

// ofScrape are labels that Prometheus gives, and the jobs of docs/monitoring.md.
var ofScrape = []string{"job", "instance", "namespace", "pod", "component"}

// queryCheck finds what is wrong with a query, going by docs/metrics.md.
type queryCheck struct {
	metrics map[string]measured
	more    []string // labels that are known beside ofScrape
	found   []string
}

func (c *queryCheck) problem(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

// check gives all problems of a query, and the labels by which it groups or matches.
func (c *queryCheck) check(query string) (problems, used []string) {
	c.found = nil
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return []string{err.Error()}, nil
	}
	seen := map[string]bool{}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		var by []string
		switch n := node.(type) {
		case *parser.VectorSelector:
			c.selector(n)
			for _, m := range n.LabelMatchers {
				if m.Type == labels.MatchEqual {
					seen[m.Name] = true // what absent() gives
				}
			}
		case *parser.AggregateExpr:
			if n.Without {
				c.problem("without (%v) keeps labels that nobody knows", n.Grouping)
			}
			by = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil && n.VectorMatching.On {
				by = n.VectorMatching.MatchingLabels
			}
		case *parser.Call:
			c.call(n)
		}
		for _, name := range by {
			seen[name] = true
			if !slices.Contains(c.within(node), name) {
				c.problem("label %s is of none of the metrics in %s", name, node)
			}
		}
		return nil
	})
	return c.found, slices.Collect(maps.Keys(seen))
}

// of gives a metric of a series, which for histograms has another name.
func (c *queryCheck) of(series string) (measured, bool) {
	if m, ok := c.metrics[series]; ok && m.kind != "histogram" {
		return m, true
	}
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if m, ok := c.metrics[strings.TrimSuffix(series, suffix)]; ok && strings.HasSuffix(series, suffix) && m.kind == "histogram" {
			m.labels = append(slices.Clone(m.labels), "le")
			return m, true
		}
	}
	return measured{}, false
}

func (c *queryCheck) selector(n *parser.VectorSelector) {
	m, ok := c.of(n.Name)
	if !ok {
		c.problem("docs/metrics.md has no series %q", n.Name)
		return
	}
	for _, matcher := range n.LabelMatchers {
		if name := matcher.Name; name != model.MetricNameLabel && !slices.Contains(slices.Concat(m.labels, ofScrape, c.more), name) {
			c.problem("%s has no label %s", n.Name, name)
		}
	}
}

// within are the labels of all metrics below a node.
func (c *queryCheck) within(node parser.Node) []string {
	all := slices.Concat(ofScrape, c.more)
	parser.Inspect(node, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			m, _ := c.of(s.Name)
			all = append(all, m.labels...)
		}
		return nil
	})
	return all
}

// call wants functions of counters to be called with counters, and others with others.
func (c *queryCheck) call(n *parser.Call) {
	ofCounters := slices.Contains([]string{"rate", "irate", "increase"}, n.Func.Name)
	if !ofCounters && !slices.Contains([]string{"changes", "delta", "deriv"}, n.Func.Name) {
		return
	}
	for _, arg := range n.Args {
		matrix, ok := arg.(*parser.MatrixSelector)
		if !ok {
			continue
		}
		name := matrix.VectorSelector.(*parser.VectorSelector).Name
		m, _ := c.of(name)
		isCounter := m.kind == "counter" || m.kind == "histogram" || m.kind == "" && strings.HasSuffix(name, "_total")
		if isCounter != ofCounters {
			c.problem("%s() of the %s %s", n.Func.Name, m.kind, name)
		}
	}
}

// TestQueriesAreChecked wants the check to find what it is there for.
func TestQueriesAreChecked(t *testing.T) {
	c := queryCheck{metrics: documentedMetrics(t)}
	for query, want := range map[string]string{
		`linkspan_links`:                                               `docs/metrics.md has no series "linkspan_links"`,
		`linkspan_mirrors{target="a"}`:                                 "linkspan_mirrors has no label target",
		`sum by (state) (linkspan_mirrors)`:                            "label state is of none",
		`rate(linkspan_mirrors[5m])`:                                   "rate() of the gauge linkspan_mirrors",
		`changes(linkspan_mirror_writes_total[5m])`:                    "changes() of the counter",
		`linkspan_mirror_propagation_seconds > 1`:                      "no series",
		`sum(linkspan_mirrors`:                                         "parse error",
		`linkspan_mirrors and on (step) linkspan_build_info`:           "label step is of none",
		`sum without (pod) (linkspan_mirrors)`:                         "keeps labels",
		`sum by (namespace, mode) (linkspan_mirrors)`:                  "",
		`rate(linkspan_mirror_propagation_seconds_bucket{le="1"}[5m])`: "",
	} {
		problems, _ := c.check(query)
		if text := strings.Join(problems, "; "); (want == "") != (text == "") || !strings.Contains(text, want) {
			t.Errorf("%s: found %q, want %q", query, text, want)
		}
	}
}
