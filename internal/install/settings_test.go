package render_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/internal/install"
	"github.com/linkspan/linkspan/internal/install/render"
)

// recordOf is the Secret as an API server keeps it.
func recordOf(t *testing.T, s install.Settings) *corev1.Secret {
	t.Helper()
	rendered, err := render.Charts{}.Render(s, namespace)
	if err != nil {
		t.Fatal(err)
	}
	last := rendered.Objects[len(rendered.Objects)-1]
	text, found, err := unstructured.NestedString(last.Object, "stringData", "settings.yaml")
	if err != nil || !found {
		t.Fatalf("no settings in %v (%v)", last.Object, err)
	}
	return &corev1.Secret{Type: install.RecordType, Data: map[string][]byte{"settings.yaml": []byte(text)}}
}

// UPG-2: settings that a newer program has added survive an older one, which knows nothing of them.
func TestNewerSettingsAreKept(t *testing.T) {
	t.Parallel()
	kept := func(secret *corev1.Secret) map[string]any {
		fields := map[string]any{}
		if err := yaml.Unmarshal(secret.Data["settings.yaml"], &fields); err != nil {
			t.Fatal(err)
		}
		return fields
	}
	secret := recordOf(t, podToPod())
	want := kept(secret)
	want["profile"] = map[string]any{"name": "edge"}
	secret.Data["settings.yaml"] = append(secret.Data["settings.yaml"], "profile: {name: edge}\n"...)
	s, err := install.ParseRecord(secret)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, kept(recordOf(t, s))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// What is known is ours to change, and to empty.
	s.HA, s.Version = true, "v1.2.4"
	want["ha"], want["version"] = true, "v1.2.4"
	if diff := cmp.Diff(want, kept(recordOf(t, s))); diff != "" {
		t.Errorf("changed: -want +got:\n%s", diff)
	}
}
