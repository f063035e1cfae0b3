package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	// rulesFile are the rules as Prometheus reads them, so that promtool can too.
	rulesFile    = "testdata/alerts/rules.golden.yaml"
	monitoringMD = "../../docs/monitoring.md"
)

// rule is an alert of a PrometheusRule.
type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// ruleFile is what a PrometheusRule has in its spec, and Prometheus in a file.
type ruleFile struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

func (f ruleFile) all() []rule {
	var all []rule
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func (f ruleFile) names() []string {
	var names []string
	for _, r := range f.all() {
		names = append(names, r.Alert)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// alerts renders the rules of an installation with everything, and more values.
func alerts(t *testing.T, given string) ruleFile {
	t.Helper()
	all := rendered(t, readValues(t, "testdata/ha.values.yaml"), parse(t, "monitoring: {prometheusRule: {enabled: true}}"), parse(t, given))
	var object struct {
		Spec ruleFile `json:"spec"`
	}
	text := find(t, all, "PrometheusRule", "linkspan").text
	if err := yaml.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	return object.Spec
}

// TestAlertsAreSound holds each alert to the docs of metrics, and to what whoever is called at night needs (OBS-3, OBS-9).
func TestAlertsAreSound(t *testing.T) {
	check := queryCheck{metrics: documentedMetrics(t)}
	seen := map[string]bool{}
	for _, r := range alerts(t, "").all() {
		problems, known := check.check(r.Expr)
		for _, p := range problems {
			t.Errorf("%s: %s", r.Alert, p)
		}
		if strings.Contains(r.Expr, "%") {
			t.Errorf("%s: nothing was put for a placeholder in %s", r.Alert, r.Expr)
		}
		id := r.Alert + r.Labels["severity"] + r.Expr
		if seen[id] {
			t.Errorf("%s is there twice", r.Alert)
		}
		seen[id] = true
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) || r.For == "" {
			t.Errorf("%s has severity %q and lasts %q", r.Alert, r.Labels["severity"], r.For)
		}
		for _, key := range []string{"summary", "description"} {
			text := r.Annotations[key]
			if len(text) < 20 || !strings.HasSuffix(text, ".") {
				t.Errorf("%s: %s %q is no sentence", r.Alert, key, text)
			}
			for _, m := range regexp.MustCompile(`\$labels\.([a-z_]+)`).FindAllStringSubmatch(text, -1) {
				if !slices.Contains(known, m[1]) {
					t.Errorf("%s: %s names label %s, and the alert has none", r.Alert, key, m[1])
				}
			}
		}
		for _, m := range regexp.MustCompile(`\[(\d+)m\]`).FindAllStringSubmatch(r.Expr, -1) {
			if len(m[1]) < 2 {
				t.Errorf("%s: a window of %s minutes holds fewer than four scrapes of a minute each and an evaluation", r.Alert, m[1])
			}
		}
	}
}

// TestAlertsByValues wants values to reach the alerts, and alerts of what is not installed to be left out.
func TestAlertsByValues(t *testing.T) {
	everything := alerts(t, "").names()
	for name, c := range map[string]struct {
		values      string
		lacks, says []string
	}{
		"no controller": {values: "controller: {enabled: false}", lacks: []string{"LinkspanLinkDown", "LinkspanNoLeader"}},
		"no gateway":    {values: "gateway: {enabled: false}", lacks: []string{"LinkspanIngressAbsent", "LinkspanStreamsFail", "LinkspanEgressFaults"}},
		"no ingress":    {values: "gateway: {ingress: {enabled: false}}", lacks: []string{"LinkspanClientsDenied"}, says: []string{`side="egress"`, "LinkspanStreamsFail"}},
		"disabled":      {values: "monitoring: {prometheusRule: {disabled: [LinkspanRestarts]}}", lacks: []string{"LinkspanRestarts"}, says: []string{"LinkspanVersionsDiffer"}},
		"grouped by nothing": {values: "monitoring: {prometheusRule: {groupBy: []}}", says: []string{
			"max by (target_cluster_name) (linkspan_link_connected and on (job, instance)", "count by () (count by (version)"}},
		"a threshold": {values: "monitoring: {prometheusRule: {thresholds: {backlog: 1000000, propagationSeconds: 0.5}}}", says: []string{"> 1e+06", "> 0.5"}},
		"labels":      {values: "monitoring: {prometheusRule: {alertLabels: {team: network, severity: none}}}", says: []string{"network"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := alerts(t, c.values)
			text, check := fmt.Sprint(got), queryCheck{metrics: documentedMetrics(t)}
			for _, word := range c.says {
				if !strings.Contains(text, word) {
					t.Errorf("nothing says %s", word)
				}
			}
			for _, word := range c.lacks {
				if !slices.Contains(everything, word) || slices.Contains(got.names(), word) {
					t.Errorf("%s is there", word)
				}
			}
			for _, r := range got.all() {
				if problems, _ := check.check(r.Expr); len(problems) > 0 {
					t.Errorf("%s: %v", r.Alert, problems)
				}
				if r.Labels["severity"] == "none" {
					t.Errorf("%s: its severity was taken away", r.Alert)
				}
			}
		})
	}
	if all := rendered(t, parse(t, "{controller: {enabled: false}, gateway: {enabled: false}, monitoring: {prometheusRule: {enabled: true}}}")); len(all) != 1 {
		t.Errorf("%d objects, want a PrometheusRule without rules", len(all))
	}
}

// TestRulesFile writes the rules where promtool finds them.
func TestRulesFile(t *testing.T) {
	text, err := yaml.Marshal(alerts(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, rulesFile, "# For promtool test rules; written by go test -update.\n"+string(text))
}

const tableHead = "| Alert | Severity | Lasts | Says |\n| --- | --- | --- | --- |\n"

// TestEveryAlertHasItsSection compares docs/monitoring.md with the alerts: the table, and a section for each that says what
// it means, how to see it and what to do (OBS-9). -update writes the table.
func TestEveryAlertHasItsSection(t *testing.T) {
	all, page := alerts(t, ""), readFile(t, monitoringMD)
	table := tableHead
	template := regexp.MustCompile(`\{\{[^}]*?\.?([A-Za-z_]+) *\}\}`)
	for _, r := range all.all() {
		says := template.ReplaceAllString(r.Annotations["summary"], "*$1*")
		table += fmt.Sprintf("| [%s](#%s) | %s | %s | %s |\n", r.Alert, strings.ToLower(r.Alert), r.Labels["severity"], r.For, says)
		if want := "https://github.com/linkspan/linkspan/blob/main/docs/monitoring.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			t.Errorf("%s leads to %s, want %s", r.Alert, r.Annotations["runbook_url"], want)
		}
	}
	before, rest, found := strings.Cut(page, tableHead)
	if !found {
		t.Fatal("docs/monitoring.md has no table of alerts")
	}
	_, after, _ := strings.Cut(rest, "\n\n")
	compare(t, monitoringMD, before+table+"\n"+after)

	var sections []string
	for _, section := range strings.Split(page, "\n### ")[1:] {
		name, text, _ := strings.Cut(section, "\n")
		if !strings.HasPrefix(name, "Linkspan") {
			continue
		}
		sections = append(sections, name)
		for _, word := range []string{"**Cause.**", "**See.**", "**Mend.**"} {
			if !strings.Contains(text, word) {
				t.Errorf("%s: the section has no %s", name, word)
			}
		}
	}
	slices.Sort(sections)
	if names := all.names(); !slices.Equal(names, sections) {
		t.Errorf("docs/monitoring.md has sections %v, the alerts are %v", sections, names)
	}
}

// ruleTests are all files of tests, in promtool's format.
func ruleTests(t *testing.T) map[string]ruleTestFile {
	t.Helper()
	paths, err := filepath.Glob("testdata/alerts/*.test.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no tests of alerts: %v", err)
	}
	files := map[string]ruleTestFile{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var f ruleTestFile
		if err := yaml.UnmarshalStrict(text, &f); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		files[strings.TrimSuffix(filepath.Base(path), ".test.yaml")] = f
	}
	return files
}

// TestAlertsFire runs the tests of testdata/alerts as `promtool test rules` does, and wants each alert to be seen both firing
// and quiet.
func TestAlertsFire(t *testing.T) {
	fired, quiet := map[string]bool{}, map[string]bool{}
	for file, f := range ruleTests(t) {
		for _, c := range f.Tests {
			t.Run(file+"/"+c.Name, func(t *testing.T) { c.run(t) })
			for _, e := range c.Exprs {
				for _, m := range regexp.MustCompile(`alertname="([A-Za-z]+)",severity="([a-z]+)"`).FindAllStringSubmatch(e.Expr, -1) {
					if id := m[1] + " " + m[2]; len(e.Samples) > 0 && e.Samples[0].Value > 0 {
						fired[id] = true
					} else {
						quiet[id] = true
					}
				}
			}
		}
	}
	for _, r := range alerts(t, "").all() {
		if id := r.Alert + " " + r.Labels["severity"]; !fired[id] || !quiet[id] {
			t.Errorf("%s: seen firing is %v, seen quiet is %v", id, fired[id], quiet[id])
		}
	}
}
