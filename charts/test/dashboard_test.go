package test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const dashboardFile = mainChart + "/dashboards/linkspan.json"

// dashboard is what we look at of Grafana's format.
type dashboard struct {
	UID        string  `json:"uid"`
	Title      string  `json:"title"`
	Panels     []panel `json:"panels"`
	Templating struct {
		List []struct {
			Name       string `json:"name"`
			Type       string `json:"type"`
			Definition string `json:"definition"`
			AllValue   string `json:"allValue"`
		} `json:"list"`
	} `json:"templating"`
}

type panel struct {
	ID          int               `json:"id"`
	Type        string            `json:"type"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Datasource  map[string]string `json:"datasource"`
	GridPos     struct {
		X, Y, W, H int
	} `json:"gridPos"`
	FieldConfig struct {
		Defaults struct {
			Unit     string `json:"unit"`
			Mappings []any  `json:"mappings"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []struct {
		RefID      string            `json:"refId"`
		Expr       string            `json:"expr"`
		Legend     string            `json:"legendFormat"`
		Datasource map[string]string `json:"datasource"`
	} `json:"targets"`
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(readFile(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// filled puts values for Grafana's variables.
var filled = strings.NewReplacer("$__rate_interval", "5m", "$namespace", ".*", "$job", ".*", "$link", ".*")

// TestDashboardQueries holds each query to docs/metrics.md, and wants it to follow the variables (OBS-12).
func TestDashboardQueries(t *testing.T) {
	check := queryCheck{metrics: documentedMetrics(t)}
	asked := map[string]bool{}
	for _, p := range readDashboard(t).Panels {
		refs := map[string]bool{}
		for _, target := range p.Targets {
			problems, known := check.check(filled.Replace(target.Expr))
			for _, problem := range problems {
				t.Errorf("%s: %s", p.Title, problem)
			}
			if refs[target.RefID] {
				t.Errorf("%s: two queries are %s", p.Title, target.RefID)
			}
			refs[target.RefID] = true
			if !strings.Contains(target.Expr, `{namespace=~"$namespace", job=~"$job"`) {
				t.Errorf("%s: %s does not follow the variables", p.Title, target.Expr)
			}
			if strings.Contains(target.Expr, "target_cluster_name") && strings.Contains(target.Expr, `job=~"$job"}`) && !strings.Contains(target.Expr, "$link") {
				t.Errorf("%s: %s does not follow the variable link", p.Title, target.Expr)
			}
			for _, m := range regexp.MustCompile(`\{\{([a-z_]+)\}\}`).FindAllStringSubmatch(target.Legend, -1) {
				if !slices.Contains(slices.Concat(known, ofScrape), m[1]) {
					t.Errorf("%s: the legend names %s, which %s does not give", p.Title, m[1], target.Expr)
				}
			}
			for name := range check.metrics {
				if strings.Contains(target.Expr, name) {
					asked[name] = true
				}
			}
		}
	}
	for _, name := range []string{"gateway_alive", "linkspan_mirrors_without_endpoints", "linkspan_mirror_propagation_seconds", "linkspan_gateway_bytes_total",
		"linkspan_gateway_streams_total", "linkspan_egress_ports", "linkspan_build_info", "linkspan_link_condition"} {
		if !asked[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// TestDashboardPanels wants panels that say what they show, each in a place of its own.
func TestDashboardPanels(t *testing.T) {
	ids, taken := map[int]string{}, map[[2]int]string{}
	for _, p := range readDashboard(t).Panels {
		if other, is := ids[p.ID]; is || p.ID == 0 {
			t.Errorf("%s and %q have the ID %d", p.Title, other, p.ID)
		}
		ids[p.ID] = p.Title
		g := p.GridPos
		if g.W == 0 || g.H == 0 || g.X+g.W > 24 {
			t.Errorf("%s is at %v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other, is := taken[[2]int{x, y}]; is {
					t.Fatalf("%s covers %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Title == "" {
			t.Errorf("panel %d has no title", p.ID)
		}
		if p.Type == "row" {
			continue
		}
		if !strings.HasSuffix(p.Description, ".") || len(p.Targets) == 0 {
			t.Errorf("%s: description %q, %d queries", p.Title, p.Description, len(p.Targets))
		}
		if p.FieldConfig.Defaults.Unit == "" && len(p.FieldConfig.Defaults.Mappings) == 0 {
			t.Errorf("%s has no unit", p.Title)
		}
		for _, target := range p.Targets {
			if p.Datasource["uid"] != "${datasource}" || target.Datasource["uid"] != "${datasource}" {
				t.Errorf("%s does not follow the variable datasource", p.Title)
			}
		}
	}
}

// TestDashboardVariables wants variables that go without the labels that a scrape job may not give.
func TestDashboardVariables(t *testing.T) {
	check := queryCheck{metrics: documentedMetrics(t)}
	var names []string
	for _, v := range readDashboard(t).Templating.List {
		names = append(names, v.Name)
		if v.Type == "datasource" {
			continue
		}
		if v.AllValue != ".*" {
			t.Errorf("%s: all is %q, which leaves out series without the label", v.Name, v.AllValue)
		}
		query, label, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(v.Definition, "label_values("), ")"), ", ")
		problems, _ := check.check("count by (" + label + ") (" + filled.Replace(query) + ")")
		if !ok || len(problems) > 0 {
			t.Errorf("%s: %v in %s", v.Name, problems, v.Definition)
		}
	}
	if want := []string{"datasource", "namespace", "job", "link"}; !slices.Equal(names, want) {
		t.Errorf("the variables are %v, want %v", names, want)
	}
}

// TestDashboardIsShipped wants the ConfigMap to hold the dashboard as it is, where Grafana's sidecar finds it.
func TestDashboardIsShipped(t *testing.T) {
	all := rendered(t, readValues(t, "testdata/ha.values.yaml"), parse(t, "monitoring: {dashboard: {enabled: true}}"))
	shipped := into[corev1.ConfigMap](t, find(t, all, "ConfigMap", "linkspan-dashboard"))
	if shipped.Labels["grafana_dashboard"] != "1" {
		t.Errorf("labels %v", shipped.Labels)
	}
	if got, want := strings.TrimSpace(shipped.Data["linkspan.json"]), strings.TrimSpace(readFile(t, dashboardFile)); got != want {
		t.Error("the ConfigMap holds something else than dashboards/linkspan.json")
	}
}
