package link_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// LESSON-55: annotations pass the API server unchecked, so one that means nothing refuses no Link: it is as if it were
// absent, and what is wrong with it is said.
func TestParseIgnoresAnnotations(t *testing.T) {
	t.Parallel()
	bad := func(l *v1alpha3.Link) {
		l.Annotations = map[string]string{v1alpha3.AnnotationGatewayClients: "Mesh", v1alpha3.AnnotationReleaseMassDeletion: "now"}
	}
	want := []string{
		`metadata.annotations[linkspan.io/gateway-clients]: "Mesh" must be mesh or egress`,
		`metadata.annotations[linkspan.io/release-mass-deletion]: "now" must be an RFC 3339 time`,
	}
	said := func(l link.Link) {
		t.Helper()
		if len(l.Ignored) != len(want) {
			t.Fatalf("ignored are %v, want %v", l.Ignored, want)
		}
		for i, e := range l.Ignored {
			if !strings.HasPrefix(e.Error(), want[i]) {
				t.Errorf("ignored is %q, want %q…", e, want[i])
			}
		}
	}
	l, err := link.Parse(linkObject(bad))
	if err != nil || l.GatewayClients != link.ClientsUnset || !l.ReleaseMassDeletion.IsZero() || l.Gateway == nil {
		t.Errorf("got %+v, %v; want the Link as it is without the annotations", l, err)
	}
	said(l)
	if kept := l.KeepClients(link.Link{GatewayClients: link.ClientsEgress}).GatewayClients; kept != link.ClientsEgress {
		t.Errorf("clients are %q, want egress as before", kept)
	}
	l, err = link.Parse(linkObject(func(l *v1alpha3.Link) {
		bad(l)
		l.Spec.GatewayPort = "x"
	}))
	if diff := cmp.Diff([]string{"spec.gatewayPort"}, fields(err)); diff != "" {
		t.Errorf("fields of %v: -want +got:\n%s", err, diff)
	}
	said(l)

	l, err = link.Parse(linkObject(nil))
	if err != nil || len(l.Ignored) > 0 {
		t.Fatalf("ignored are %v, error %v; want none", l.Ignored, err)
	}
	if kept := l.KeepClients(link.Link{GatewayClients: link.ClientsEgress}).GatewayClients; kept != link.ClientsUnset {
		t.Errorf("clients are %q although the annotation was taken away", kept)
	}
}
