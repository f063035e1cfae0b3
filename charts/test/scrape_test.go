package test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	promlabels "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	goyaml "go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// published is the relabelling of Linkerd's job for its service mirror, as users have it (OBS-1).
const published = `
- source_labels: [__meta_kubernetes_pod_label_linkerd_io_control_plane_component, __meta_kubernetes_pod_container_port_name]
  action: keep
  regex: linkerd-service-mirror;admin-http$
- source_labels: [__meta_kubernetes_pod_container_name]
  action: replace
  target_label: component
`

// relabelling reads the relabel_configs of a job.
func relabelling(t *testing.T, text string) []*relabel.Config {
	t.Helper()
	var all []*relabel.Config
	if err := goyaml.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, c := range all {
		if err := c.Validate(model.UTF8Validation); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// discovered is what Prometheus finds of the pods of Deployments, one target for each port of a container.
func discovered(t *testing.T, all []manifest) []promlabels.Labels {
	t.Helper()
	name := regexp.MustCompile(`[^a-zA-Z0-9_]`)
	var targets []promlabels.Labels
	for _, d := range deployments(t, all) {
		for _, container := range d.Spec.Template.Spec.Containers {
			for _, port := range container.Ports {
				b := promlabels.NewBuilder(promlabels.EmptyLabels())
				for key, value := range d.Spec.Template.Labels {
					b.Set("__meta_kubernetes_pod_label_"+name.ReplaceAllString(key, "_"), value)
				}
				b.Set("__meta_kubernetes_namespace", namespace).Set("__meta_kubernetes_pod_name", d.Name+"-x")
				b.Set("__meta_kubernetes_pod_container_name", container.Name).Set("__meta_kubernetes_pod_container_port_name", port.Name)
				targets = append(targets, b.Labels())
			}
		}
	}
	return targets
}

// kept are the targets that a job scrapes, as the labels that their series get.
func kept(t *testing.T, all []manifest, jobName string, configs []*relabel.Config) map[string]map[string]string {
	t.Helper()
	found := map[string]map[string]string{}
	for _, target := range discovered(t, all) {
		b := promlabels.NewBuilder(target)
		b.Set("job", jobName)
		if !relabel.ProcessBuilder(b, configs...) {
			continue
		}
		pod := target.Get("__meta_kubernetes_pod_name")
		if found[pod] != nil {
			t.Errorf("job %s scrapes %s twice", jobName, pod)
		}
		found[pod] = map[string]string{}
		b.Labels().Range(func(l promlabels.Label) {
			if !strings.HasPrefix(l.Name, "__") {
				found[pod][l.Name] = l.Value
			}
		})
	}
	return found
}

var everythingScraped = map[string]map[string]string{
	"linkspan-x":         {"job": "linkerd-service-mirror", "component": "service-mirror", "namespace": namespace, "pod": "linkspan-x"},
	"linkspan-ingress-x": {"job": "linkerd-gateway", "component": "ingress", "namespace": namespace, "pod": "linkspan-ingress-x"},
	"linkspan-egress-x":  {"job": "linkerd-gateway", "component": "egress", "namespace": namespace, "pod": "linkspan-egress-x"},
}

// TestScrapeJob evaluates the published relabelling of Linkerd's job: it must keep the controller's pods, once, and none of
// the gateway's (OBS-1, OBS-5).
func TestScrapeJob(t *testing.T) {
	everyExample(t, func(t *testing.T, all []manifest) {
		want := map[string]map[string]string{}
		for _, d := range deployments(t, all) {
			if d.Name == "linkspan" {
				want["linkspan-x"] = map[string]string{"job": "linkerd-service-mirror", "component": "service-mirror"}
			}
		}
		if diff := cmp.Diff(want, kept(t, all, "linkerd-service-mirror", relabelling(t, published))); diff != "" {
			t.Errorf("(-want +scraped):\n%s", diff)
		}
	})
}

// TestThePublishedExpression holds the expression to the strings that it must tell apart.
func TestThePublishedExpression(t *testing.T) {
	for text, want := range map[string]bool{
		"linkerd-service-mirror;admin-http": true, "service-mirror;admin-http": false,
		"linkerd-service-mirror;http-admin": false, "linkerd-service-mirror;linkerd-admin": false,
	} {
		component, port, _ := strings.Cut(text, ";")
		b := promlabels.NewBuilder(promlabels.FromStrings("__meta_kubernetes_pod_label_linkerd_io_control_plane_component", component,
			"__meta_kubernetes_pod_container_port_name", port))
		if got := relabel.ProcessBuilder(b, relabelling(t, published)...); got != want {
			t.Errorf("%s is kept: %v, want %v", text, got, want)
		}
	}
}

// TestScrapeJobsOfTheDocs evaluates the jobs that docs/monitoring.md gives those without the Prometheus Operator.
func TestScrapeJobsOfTheDocs(t *testing.T) {
	var jobs []struct {
		Name    string            `yaml:"job_name"`
		SD      any               `yaml:"kubernetes_sd_configs"`
		Relabel []*relabel.Config `yaml:"relabel_configs"`
	}
	_, block, found := strings.Cut(readFile(t, monitoringMD), "```yaml\n- job_name: linkerd-service-mirror\n")
	block, _, _ = strings.Cut(block, "```")
	if err := goyaml.Unmarshal([]byte("- job_name: linkerd-service-mirror\n"+block), &jobs); err != nil || !found {
		t.Fatalf("docs/monitoring.md has no scrape jobs: %v", err)
	}
	got := map[string]map[string]string{}
	for _, job := range jobs {
		for _, c := range job.Relabel {
			if err := c.Validate(model.UTF8Validation); err != nil {
				t.Fatal(err)
			}
		}
		for pod, set := range kept(t, rendered(t, readValues(t, "testdata/ha.values.yaml")), job.Name, job.Relabel) {
			if got[pod] != nil {
				t.Errorf("%s is scraped by two jobs", pod)
			}
			got[pod] = set
		}
	}
	if diff := cmp.Diff(everythingScraped, got); diff != "" {
		t.Errorf("(-want +scraped):\n%s", diff)
	}
}

// podMonitor is what the chart says in one.
type podMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []struct {
			Port        string `json:"port"`
			Interval    string `json:"interval"`
			Relabelings []struct {
				SourceLabels []model.LabelName `json:"sourceLabels"`
				TargetLabel  string            `json:"targetLabel"`
				Replacement  string            `json:"replacement"`
			} `json:"relabelings"`
		} `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

// TestPodMonitors wants PodMonitors to select each pod once, by a port that it has, and to give its series the same labels
// as the scrape jobs do: dashboards and alerts go by them (OBS-2, OBS-5). No series is dropped on the way.
func TestPodMonitors(t *testing.T) {
	all := rendered(t, readValues(t, "testdata/ha.values.yaml"), parse(t, "monitoring: {podMonitor: {enabled: true}}"))
	got := map[string]map[string]string{}
	for _, m := range all {
		if m.GetKind() != "PodMonitor" {
			continue
		}
		monitor := into[podMonitor](t, m) // which refuses fields that it does not have, such as metricRelabelings
		selector, err := metav1.LabelSelectorAsSelector(&monitor.Spec.Selector)
		if err != nil {
			t.Fatal(err)
		}
		var selected []manifest
		for _, d := range all {
			if d.GetKind() == "Deployment" && selector.Matches(labels.Set(into[appsv1.Deployment](t, d).Spec.Template.Labels)) {
				selected = append(selected, d)
			}
		}
		for _, endpoint := range monitor.Spec.Endpoints {
			configs := operators(endpoint.Port)
			for _, r := range endpoint.Relabelings {
				c := relabel.DefaultRelabelConfig
				c.SourceLabels, c.TargetLabel = r.SourceLabels, r.TargetLabel
				if r.Replacement != "" {
					c.Replacement = r.Replacement
				}
				if err := c.Validate(model.UTF8Validation); err != nil {
					t.Fatal(err)
				}
				configs = append(configs, &c)
			}
			for pod, set := range kept(t, selected, "operators/own", configs) {
				if got[pod] != nil {
					t.Errorf("%s is scraped twice", pod)
				}
				delete(set, "container") // the Operator's, beside ours
				got[pod] = set
			}
		}
	}
	if diff := cmp.Diff(everythingScraped, got); diff != "" {
		t.Errorf("(-want +scraped):\n%s", diff)
	}
}

// operators is what the Prometheus Operator puts before the relabelings of a PodMonitor.
func operators(port string) []*relabel.Config {
	keep := relabel.DefaultRelabelConfig
	keep.Action, keep.SourceLabels, keep.Regex = relabel.Keep, model.LabelNames{"__meta_kubernetes_pod_container_port_name"}, relabel.MustNewRegexp(port)
	keep.NameValidationScheme = model.UTF8Validation
	configs := []*relabel.Config{&keep}
	for _, pair := range [][2]string{{"__meta_kubernetes_namespace", "namespace"}, {"__meta_kubernetes_pod_container_name", "container"}, {"__meta_kubernetes_pod_name", "pod"}} {
		c := relabel.DefaultRelabelConfig
		c.SourceLabels, c.TargetLabel, c.NameValidationScheme = model.LabelNames{model.LabelName(pair[0])}, pair[1], model.UTF8Validation
		configs = append(configs, &c)
	}
	return slices.Clip(configs)
}
