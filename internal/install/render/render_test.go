package render_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/charts"
	"github.com/linkspan/linkspan/internal/install"
	"github.com/linkspan/linkspan/internal/install/render"
)

const namespace = "links"

// podToPod is the least that renders without values about certificates.
func podToPod() install.Settings {
	return install.Settings{
		Version: "v1.2.3", CRDs: true, CreateNamespace: true,
		Values: map[string]any{"gateway": map[string]any{"enabled": false}},
	}
}

func namesOf(t *testing.T, s install.Settings) []string {
	t.Helper()
	rendered, err := render.Charts{}.Render(s, namespace)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, obj := range rendered.Objects {
		names = append(names, obj.GetKind()+" "+obj.GetName())
		if labelled := obj.GetLabels()["linkspan.io/installation"] == namespace; labelled == (obj.GetKind() == "CustomResourceDefinition") {
			t.Errorf("%s %s: the label of the installation belongs on everything but the cluster's types", obj.GetKind(), obj.GetName())
		}
	}
	return names
}

// INST-2: one kubectl apply in an empty cluster must find each object's namespace and accounts there.
func TestOrder(t *testing.T) {
	t.Parallel()
	want := []string{
		"Namespace links", "CustomResourceDefinition links.multicluster.linkerd.io",
		"ServiceAccount linkspan",
		"ClusterRole links:linkspan", "ClusterRoleBinding links:linkspan", "Role linkspan", "RoleBinding linkspan",
		"Deployment linkspan", "Link east",
		"Secret linkspan-install", // whoever reads it finds the rest
	}
	withLink := podToPod()
	withLink.Values["links"] = []any{map[string]any{"name": "east"}}
	for range 3 { // the same each time (GIT-4)
		if diff := cmp.Diff(want, only(want, namesOf(t, withLink))); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	}
	s := withLink
	s.CRDs, s.CreateNamespace = false, false
	if diff := cmp.Diff(want[2:], only(want, namesOf(t, s))); diff != "" {
		t.Errorf("INST-4, INST-5: without types and namespace, -want +got:\n%s", diff)
	}
	s.HA = true
	if names := namesOf(t, s); !slices.Contains(names, "PodDisruptionBudget linkspan") {
		t.Errorf("INST-8: --ha renders %v", names)
	}
}

// only leaves out what a test is not about.
func only(wanted, names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return !slices.Contains(wanted, name) })
}

// INST-6: what Linkerd looks for on the namespace of an extension.
func TestNamespace(t *testing.T) {
	t.Parallel()
	rendered, err := render.Charts{}.Render(podToPod(), namespace)
	if err != nil {
		t.Fatal(err)
	}
	got := rendered.Objects[0]
	want := map[string]string{"config.linkerd.io/proxy-await": "enabled", "linkerd.io/inject": "enabled"}
	if diff := cmp.Diff(want, got.GetAnnotations()); diff != "" || got.GetLabels()["linkerd.io/extension"] != "linkspan" {
		t.Errorf("labels %v, annotations -want +got:\n%s", got.GetLabels(), diff)
	}
}

// A kind that Kinds does not know would be applied last, never pruned and never uninstalled; nor would be what is
// where nobody looks for it.
func TestKindsAreAllKinds(t *testing.T) {
	t.Parallel()
	known := map[schema.GroupVersionKind]bool{}
	for _, kind := range install.Kinds() {
		known[kind.GroupVersionKind] = true
	}
	files, err := filepath.Glob("../../../charts/test/testdata/*.golden.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files of the charts: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(text), "\n---\n") {
			var meta metav1.PartialObjectMetadata
			if err := yaml.Unmarshal([]byte(document), &meta); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if meta.Kind != "" && !known[meta.GroupVersionKind()] {
				t.Errorf("%s: %s is none of Kinds", file, meta.GroupVersionKind())
			}
			const home = "linkerd-multicluster"
			role := meta.GroupVersionKind().Group == "rbac.authorization.k8s.io" && strings.HasPrefix(meta.Name, home+":")
			if meta.Namespace != "" && meta.Namespace != home && !role {
				t.Errorf("%s: %s %s/%s is where only roles are looked for", file, meta.Kind, meta.Namespace, meta.Name)
			}
		}
	}
}

// The programs would lack what go:embed leaves out: names that begin with _ or a dot.
func TestEveryFileIsInside(t *testing.T) {
	t.Parallel()
	for _, chart := range []string{charts.Linkspan, charts.CRDs} {
		inside, err := charts.Files(chart)
		if err != nil {
			t.Fatal(err)
		}
		err = fs.WalkDir(os.DirFS(filepath.Join("../../../charts", chart)), ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			_, err = fs.Stat(inside, name)
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", chart, err)
		}
	}
	if _, err := fs.Stat(must(charts.Files("linkspan"))(t), "templates/_helpers.tpl"); err != nil {
		t.Error(err)
	}
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// INST-9, CERT-13: what is refused is told with the value's name.
func TestRefused(t *testing.T) {
	t.Parallel()
	gateway := func(v map[string]any) map[string]any { return map[string]any{"gateway": v} }
	for name, c := range map[string]struct {
		settings install.Settings
		want     []string
	}{
		"unknown value":  {install.Settings{Version: "v1.2.3", Values: map[string]any{"controler": true}}, []string{"'controler' not allowed", "--show-values"}},
		"wrong kind":     {install.Settings{Version: "v1.2.3", Values: map[string]any{"controller": map[string]any{"replicas": "x"}}}, []string{"/controller/replicas"}},
		"no certificate": {install.Settings{Version: "v1.2.3"}, []string{"gateway.ingress.certificate.secretName"}},
		"no release":     {install.Settings{Version: "dev", Values: gateway(map[string]any{"enabled": false})}, []string{"image.tag", "dev"}},
		"not even half of its digests": {
			install.Settings{Version: "v1.2.3-4-g0123abc", Values: map[string]any{"image": map[string]any{"digests": map[string]any{"mirror": "sha256:" + strings.Repeat("0", 64)}}}},
			[]string{"image.tag"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := render.Charts{}.Render(c.settings, namespace)
			if err == nil {
				t.Fatal("rendered")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\ndoes not say %q", err, want)
				}
			}
		})
	}
}

// `mirror install` of a version uses that version's images, unless values say otherwise.
func TestImages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ version, tag, want string }{
		"release":                     {"v1.2.3", "", "ghcr.io/linkspan/mirror:v1.2.3"},
		"candidate":                   {"v1.2.3-rc.1", "", "ghcr.io/linkspan/mirror:v1.2.3-rc.1"},
		"pinned":                      {"v1.2.3", "v1.2.0", "ghcr.io/linkspan/mirror:v1.2.0"},
		"development, own images":     {"v1.2.3-4-g0123abc-dirty", "mine", "ghcr.io/linkspan/mirror:mine"},
		"development, no tags at all": {"dev", "mine", "ghcr.io/linkspan/mirror:mine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := podToPod()
			s.Version = c.version
			s.Values["image"] = map[string]any{"tag": c.tag}
			rendered, err := render.Charts{}.Render(s, namespace)
			if err != nil {
				t.Fatal(err)
			}
			deployment := slices.IndexFunc(rendered.Objects, func(obj *unstructured.Unstructured) bool { return obj.GetKind() == "Deployment" })
			text, err := rendered.Objects[deployment].MarshalJSON()
			if err != nil || !strings.Contains(string(text), `"image":"`+c.want+`"`) {
				t.Errorf("want %s in %s (%v)", c.want, text, err)
			}
			if s.ImageTag() != c.tag {
				t.Errorf("ImageTag is %q", s.ImageTag())
			}
		})
	}
}

// CLI-4, UPG-1: one major version apart is a warning, more is refused.
func TestSkew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		program, installed string
		warned, refused    bool
	}{
		"the same":        {"v1.2.3", "v1.2.3", false, false},
		"minor versions":  {"v1.9.0", "v1.2.3", false, false},
		"one major":       {"v2.0.0", "v1.2.3", true, false},
		"one major back":  {"v1.2.3", "v2.0.0", true, false},
		"two":             {"v3.0.0", "v1.2.3", false, true},
		"two back":        {"v1.0.0", "v3.2.3", false, true},
		"no release":      {"dev", "v1.2.3", false, false},
		"over no release": {"v3.0.0", "v1.0.0-3-g0123abc", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			warning, err := install.Skew(c.program, c.installed)
			if (warning != "") != c.warned || (err != nil) != c.refused {
				t.Errorf("warning %q, error %v", warning, err)
			}
		})
	}
}
