package test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

// ruleTestFile is what we use of the format of `promtool test rules`, which reads the same files.
type ruleTestFile struct {
	RuleFiles          []string   `json:"rule_files"`
	EvaluationInterval string     `json:"evaluation_interval"`
	Tests              []ruleTest `json:"tests"`
}

type ruleTest struct {
	Name   string `json:"name"`
	Series []struct {
		Series string `json:"series"`
		Values string `json:"values"`
	} `json:"input_series"`
	Exprs []struct {
		Expr    string `json:"expr"`
		At      string `json:"eval_time"`
		Samples []struct {
			Labels string  `json:"labels"`
			Value  float64 `json:"value"`
		} `json:"exp_samples"`
	} `json:"promql_expr_test"`
}

// evaluationInterval is how often the series of a test have a value, and the rules are evaluated: the default of promtool.
const evaluationInterval = time.Minute

// run evaluates the rules over the series, minute by minute, and then the queries.
func (c ruleTest) run(t *testing.T) {
	var load strings.Builder
	load.WriteString("load 1m\n")
	for _, s := range c.Series {
		load.WriteString("  " + s.Series + " " + s.Values + "\n")
	}
	loader, err := promqltest.NewLazyLoader(load.String(), promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := loader.Close(); err != nil {
			t.Error(err)
		}
	})
	loader.SubqueryInterval = evaluationInterval
	groups := c.groups(t, loader)
	last := time.Duration(0)
	for _, e := range c.Exprs {
		last = max(last, after(t, e.At))
	}
	start := time.Unix(0, 0).UTC()
	for now := start; !now.After(start.Add(last)); now = now.Add(evaluationInterval) {
		loader.WithSamplesTill(now, func(err error) {
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range groups {
				g.Eval(loader.Context(), now)
				evaluated(t, g)
			}
		})
	}
	for _, e := range c.Exprs {
		query, err := loader.QueryEngine().NewInstantQuery(loader.Context(), loader.Queryable(), nil, e.Expr, start.Add(after(t, e.At)))
		if err != nil {
			t.Fatal(err)
		}
		result := query.Exec(loader.Context())
		got, err := result.Vector()
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Samples) != 1 || len(got) != 1 || got[0].F != e.Samples[0].Value {
			t.Errorf("after %s %s is %v, want %v", e.At, e.Expr, written(got), e.Samples)
		}
	}
}

func (c ruleTest) groups(t *testing.T, loader *promqltest.LazyLoader) []*rules.Group {
	t.Helper()
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc:  rules.EngineQueryFunc(loader.QueryEngine(), loader.Storage()),
		Appendable: loader.Storage(),
		Context:    loader.Context(),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {},
		Logger:     slog.New(slog.DiscardHandler),
		Parser:     parser.NewParser(parser.Options{}),
	})
	byName, errs := manager.LoadGroups(evaluationInterval, labels.EmptyLabels(), "", nil, false, rulesFile)
	for _, err := range errs {
		t.Fatal(err)
	}
	var all []*rules.Group
	for _, g := range byName {
		asked := false
		for _, r := range g.Rules() {
			if alert, ok := r.(*rules.AlertingRule); ok {
				alert.SetRestored(true) // or there are no series of alerts
			}
			asked = asked || c.asksFor(r.Name())
		}
		if asked { // no group reads what another writes
			all = append(all, g)
		}
	}
	return all
}

func (c ruleTest) asksFor(alert string) bool {
	for _, e := range c.Exprs {
		if strings.Contains(e.Expr, `alertname="`+alert+`"`) {
			return true
		}
	}
	return false
}

// evaluated wants a group to have been evaluated without an error, in its texts too.
func evaluated(t *testing.T, g *rules.Group) {
	t.Helper()
	for _, r := range g.Rules() {
		if err := r.LastError(); err != nil {
			t.Fatalf("%s: %v", r.Name(), err)
		}
		alert, ok := r.(*rules.AlertingRule)
		if !ok {
			t.Fatalf("%s is no alert", r.Name())
		}
		for _, a := range alert.ActiveAlerts() {
			for _, text := range []string{a.Annotations.Get("summary"), a.Annotations.Get("description")} {
				if strings.Contains(text, "<error") || strings.Contains(text, "  ") || strings.Contains(text, " .") || strings.Contains(text, "()") {
					t.Fatalf("%s says %q", r.Name(), text)
				}
			}
		}
	}
}

func after(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func written(v promql.Vector) []string {
	var all []string
	for _, s := range v {
		all = append(all, s.String())
	}
	return all
}
