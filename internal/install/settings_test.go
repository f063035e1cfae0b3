package install_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/internal/install"
)

// recordOf is the Secret as an API server keeps it.
func recordOf(t *testing.T, s install.Settings) *corev1.Secret {
	t.Helper()
	own, err := s.Own("links")
	if err != nil {
		t.Fatal(err)
	}
	record := own[slices.IndexFunc(own, func(obj *unstructured.Unstructured) bool { return obj.GetKind() == "Secret" })]
	text, found, err := unstructured.NestedString(record.Object, "stringData", "settings.yaml")
	if err != nil || !found {
		t.Fatalf("no settings in %v (%v)", record.Object, err)
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
	secret := recordOf(t, install.Settings{
		Version: "v1.2.3", CRDs: true, CreateNamespace: true, Values: map[string]any{"gateway": map[string]any{"enabled": false}},
	})
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
