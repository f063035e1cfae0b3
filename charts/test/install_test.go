package test

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/install"
	printed "github.com/linkspan/linkspan/internal/install/render"
)

const labelManagedBy = "app.kubernetes.io/managed-by"

// TestInstallPrintsTheSame compares what `mirror install` prints with what Helm renders, for every example (INST-1).
// It adds what Helm keeps elsewhere, and does not say that Helm owns the objects; the rest is the same, field by field.
func TestInstallPrintsTheSame(t *testing.T) {
	for _, path := range examples(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".values.yaml"), func(t *testing.T) {
			settings := install.Settings{Version: "v1.2.3", CRDs: true, CreateNamespace: true, Values: readValues(t, path)}
			given := []values{settings.Values}
			if strings.Contains(path, "/ha.") {
				settings.HA = true
				given = append([]values{readValues(t, mainChart+"/values-ha.yaml")}, given...)
			}
			want := objects(t, mainChart, given...)
			maps.Copy(want, objects(t, crdsChart))
			rendered, err := printed.Charts{}.Render(settings, namespace)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]any{}
			for _, object := range rendered.Objects {
				labels := object.GetLabels()
				if labels[labelManagedBy] == "linkspan-cli" {
					labels[labelManagedBy] = "Helm"
				}
				delete(labels, v1alpha3.LabelInstallation)
				if labels != nil {
					object.SetLabels(labels)
				}
				got[object.GetKind()+" "+object.GetName()] = object.Object
			}
			for _, own := range []string{"Namespace " + namespace, "Secret " + install.RecordName} {
				if got[own] == nil {
					t.Errorf("no %s", own)
				}
				delete(got, own)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-helm +mirror install:\n%s", diff)
			}
		})
	}
}

// objects are those of a chart that was packaged for a version.
func objects(t *testing.T, dir string, given ...values) map[string]any {
	t.Helper()
	c := load(t, dir)
	c.Metadata.Version, c.Metadata.AppVersion = "1.2.3", "v1.2.3"
	files, err := render(c, given...)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	for _, m := range manifests(t, files) {
		// Numbers as an API server reads them.
		text, err := m.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.UnmarshalJSON(text); err != nil {
			t.Fatal(err)
		}
		all[m.GetKind()+" "+m.GetName()] = m.Object
	}
	return all
}
