package test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// TestLinks wants a name to be enough, what is given to win, and no Secret that nobody gave (GIT-*).
func TestLinks(t *testing.T) {
	all := rendered(t, readValues(t, "testdata/everything.values.yaml"))
	usual := func(label, value string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{label: value}}
	}
	want := v1alpha3.LinkSpec{
		TargetClusterName: "east", ClusterCredentialsSecret: v1alpha3.SecretNamePrefix + "east",
		Selector:                 usual(v1alpha3.LabelExported, v1alpha3.ExportedGateway),
		RemoteDiscoverySelector:  usual(v1alpha3.LabelExported, v1alpha3.ExportedRemoteDiscovery),
		FederatedServiceSelector: usual(v1alpha3.LabelFederated, v1alpha3.FederatedMember),
	}
	if diff := cmp.Diff(want, into[v1alpha3.Link](t, find(t, all, "Link", "east")).Spec); diff != "" {
		t.Errorf("a Link with a name alone:\n%s", diff)
	}
	north := into[v1alpha3.Link](t, find(t, all, "Link", "north"))
	if s := north.Spec.RemoteDiscoverySelector; s == nil || len(s.MatchLabels) > 0 || len(north.Spec.Selector.MatchLabels) > 0 {
		t.Errorf("selectors that are given are not the only ones: %v, %v", north.Spec.Selector, s)
	}
	if got := north.Annotations[v1alpha3.AnnotationGatewayClients]; got != v1alpha3.GatewayClientsEgress {
		t.Errorf("annotation is %q", got)
	}
	for _, m := range all {
		if m.GetKind() == "Secret" && m.GetName() != "north-credentials" && !strings.HasSuffix(m.GetName(), "-token") {
			t.Errorf("Secret %s, and nobody gave it", m.GetName())
		}
	}
	secret := into[corev1.Secret](t, find(t, all, "Secret", "north-credentials"))
	if secret.Type != v1alpha3.SecretTypeRemoteKubeconfig || string(secret.Data[v1alpha3.SecretKeyKubeconfig]) != "apiVersion: v1\nkind: Config\n" {
		t.Errorf("the Secret is %s with %q", secret.Type, secret.Data)
	}
}

// TestLinkSchema compares the fields that the schema knows with those of the type, and wants the example to have them all.
func TestLinkSchema(t *testing.T) {
	type object struct {
		Properties map[string]*object `json:"properties"`
		Items      *object            `json:"items"`
	}
	var s object
	if err := json.Unmarshal([]byte(readFile(t, mainChart+"/values.schema.json")), &s); err != nil {
		t.Fatal(err)
	}
	known := s.Properties["links"].Items.Properties["spec"]
	for what, c := range map[string]struct {
		schema *object
		of     reflect.Type
	}{
		"spec":      {known, reflect.TypeFor[v1alpha3.LinkSpec]()},
		"probeSpec": {known.Properties["probeSpec"], reflect.TypeFor[v1alpha3.ProbeSpec]()},
	} {
		var fields []string
		for field := range c.of.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			fields = append(fields, name)
		}
		slices.Sort(fields)
		if diff := cmp.Diff(fields, slices.Sorted(maps.Keys(c.schema.Properties))); diff != "" {
			t.Errorf("%s (-type +schema):\n%s", what, diff)
		}
	}
	north := into[v1alpha3.Link](t, find(t, rendered(t, readValues(t, "testdata/everything.values.yaml")), "Link", "north"))
	if value := reflect.ValueOf(north.Spec); value.IsValid() {
		for i := range value.NumField() {
			if value.Field(i).IsZero() {
				t.Errorf("the example has no %s", value.Type().Field(i).Name)
			}
		}
	}
}
