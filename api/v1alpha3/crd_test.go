package v1alpha3_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// crd is the part of a CustomResourceDefinition that the contract with Linkerd's users speaks of.
type crd struct {
	Spec struct {
		Group      string
		Conversion any
		Versions   []crdVersion
	}
}

type crdVersion struct {
	Name            string
	Served, Storage bool
	Subresources    map[string]any
	Columns         []struct{ Name string } `json:"additionalPrinterColumns"`
	Schema          map[string]any
}

func TestCRDVersions(t *testing.T) {
	t.Parallel()
	var got crd
	if err := yaml.Unmarshal(v1alpha3.CRD(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Spec.Group != v1alpha3.GroupVersion.Group || got.Spec.Conversion != nil {
		t.Errorf("group %q, conversion %v", got.Spec.Group, got.Spec.Conversion)
	}
	type summary struct {
		Name                    string
		Served, Storage, Status bool
	}
	var versions []summary
	for _, v := range got.Spec.Versions {
		_, status := v.Subresources["status"]
		versions = append(versions, summary{v.Name, v.Served, v.Storage, status})
	}
	want := []summary{
		{"v1alpha1", true, false, false},
		{"v1alpha2", true, false, true},
		{"v1alpha3", true, true, true},
	}
	if diff := cmp.Diff(want, versions); diff != "" {
		t.Errorf("versions: -want +got:\n%s", diff)
	}
	for _, v := range got.Spec.Versions {
		if diff := cmp.Diff(got.Spec.Versions[2].Schema, v.Schema); diff != "" {
			t.Errorf("without conversion all versions need one schema; %s differs:\n%s", v.Name, diff)
		}
		var columns []string
		for _, c := range v.Columns {
			columns = append(columns, c.Name)
		}
		if diff := cmp.Diff([]string{"Cluster", "Ready", "Reason", "Services", "Gateway", "Age"}, columns); diff != "" {
			t.Errorf("columns of %s: -want +got:\n%s", v.Name, diff)
		}
	}
}

// CRD hands out copies: what one caller does to its bytes no other sees.
func TestCRDIsCopied(t *testing.T) {
	t.Parallel()
	v1alpha3.CRD()[0] = 'X'
	if v1alpha3.CRD()[0] == 'X' {
		t.Error("a caller changed the CRD of all")
	}
}
