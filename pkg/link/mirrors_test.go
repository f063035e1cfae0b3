package link_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/pkg/link"
)

func TestStandsForRemote(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		labels, annotations map[string]string
		want                bool
	}{
		"a Service of this cluster":  {labels: map[string]string{"mirror.linkerd.io/exported": "true"}},
		"a mirror":                   {labels: map[string]string{"mirror.linkerd.io/mirrored-service": "true"}, want: true},
		"one that lost that label":   {labels: map[string]string{"mirror.linkerd.io/cluster-name": "east"}, want: true},
		"the mirror of one pod":      {labels: map[string]string{"mirror.linkerd.io/headless-mirror-svc-name": "web-east"}, want: true},
		"a mirror without a gateway": {labels: map[string]string{"multicluster.linkerd.io/remote-discovery": "east"}, want: true},
		"a federated service":        {annotations: map[string]string{"multicluster.linkerd.io/remote-discovery": "web@east"}, want: true},
		"one of this cluster alone":  {annotations: map[string]string{"multicluster.linkerd.io/local-discovery": "web"}, want: true},
	} {
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Labels: c.labels, Annotations: c.annotations}}
		if got := link.StandsForRemote(svc); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

// SEC-4: only slices that the controller made prove anything, and only those that lead to the egress.
func TestProvesEgress(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*discoveryv1.EndpointSlice)
		want   bool
	}{
		"a slice that leads to the egress": {func(*discoveryv1.EndpointSlice) {}, true},
		"one that leads elsewhere":         {func(s *discoveryv1.EndpointSlice) { s.Annotations = nil }, false},
		"one that Kubernetes made": {func(s *discoveryv1.EndpointSlice) {
			s.Labels[discoveryv1.LabelManagedBy] = "endpointslice-controller.k8s.io"
		}, false},
		"one of no Service": {func(s *discoveryv1.EndpointSlice) { delete(s.Labels, discoveryv1.LabelServiceName) }, false},
		"one of no cluster": {func(s *discoveryv1.EndpointSlice) { delete(s.Labels, "mirror.linkerd.io/cluster-name") }, false},
	} {
		slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-east-egress-ipv4",
			Labels: map[string]string{
				discoveryv1.LabelManagedBy: "mirror.linkspan.io", discoveryv1.LabelServiceName: "web-east", "mirror.linkerd.io/cluster-name": "east",
			},
			Annotations: map[string]string{"linkspan.io/egress-ports": "80=20001"},
		}}
		c.change(slice)
		got, ok := link.ProvesEgress(slice)
		want := link.EgressProof{Mirror: types.NamespacedName{Namespace: "shop", Name: "web-east"}, Cluster: "east", Ports: "80=20001"}
		if ok != c.want || ok && got != want {
			t.Errorf("%s: %v, %t\n%s", name, got, ok, cmp.Diff(want, got))
		}
	}
}
