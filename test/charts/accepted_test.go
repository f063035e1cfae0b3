package charts

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// TestAPIServersTakeWhatIsRendered sends every object of every example as Helm would, without keeping it (LESSON-52,
// INST-15). make test-min asks the oldest version supported. Types of others are left out: no API server knows them alone.
func TestAPIServersTakeWhatIsRendered(t *testing.T) {
	others := []string{"cert-manager.io", "monitoring.coreos.com", "policy.linkerd.io"}
	examples, err := filepath.Glob("../../charts/test/testdata/*.golden.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	cluster := rig.Shared(t, 1)[0]
	for _, path := range examples {
		t.Run(filepath.Base(path), func(t *testing.T) {
			namespace := cluster.Namespace(t)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, object := range decode(t, text) {
				if slices.Contains(others, object.GroupVersionKind().Group) {
					continue
				}
				if object.GetNamespace() != "" {
					object.SetNamespace(namespace)
				}
				config := client.ApplyConfigurationFromUnstructured(object)
				err := cluster.Client().Apply(t.Context(), config, client.DryRunAll, client.FieldOwner("helm"))
				if err != nil {
					t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
				}
			}
		})
	}
}

// decode gives the objects of a file.
func decode(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(object.Object) > 0 {
			object.Object = runtime.DeepCopyJSON(object.Object)
			all = append(all, object)
		}
	}
}
