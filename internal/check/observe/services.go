package observe

import (
	"context"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/check"
)

func (o *Observer) observeServices(ctx context.Context, f *check.Facts) {
	home, err := o.kube.CoreV1().Services(f.Namespace).List(ctx, metav1.ListOptions{})
	gateways := home.Items[:0]
	for _, s := range home.Items {
		if s.Annotations[v1alpha3.AnnotationMulticlusterGateway] == "true" {
			gateways = append(gateways, s)
		}
	}
	f.GatewayServices = read(gateways, err, right("list", "", "services", f.Namespace))
	f.Mirrors = o.mirrors(ctx)
	exported, err := o.kube.CoreV1().Services("").List(ctx, metav1.ListOptions{LabelSelector: v1alpha3.LabelExported})
	var exports []check.Export
	for _, s := range exported.Items {
		exports = append(exports, check.Export{Namespace: s.Namespace, Name: s.Name, Value: s.Labels[v1alpha3.LabelExported]})
	}
	f.Exports = read(exports, err, right("list", "", "services", ""))
}

// mirrors costs two requests, however many there are (LESSON-40).
func (o *Observer) mirrors(ctx context.Context) check.Read[[]check.Mirror] {
	needs, options := right("list", "", "services", ""), metav1.ListOptions{LabelSelector: selectMirrors}
	services, err := o.kube.CoreV1().Services("").List(ctx, options)
	if err != nil {
		return read[[]check.Mirror](nil, err, needs)
	}
	slices, err := o.kube.DiscoveryV1().EndpointSlices("").List(ctx, options)
	if err != nil {
		return read[[]check.Mirror](nil, err, right("list", "discovery.k8s.io", "endpointslices", ""))
	}
	ready := map[types.NamespacedName]bool{}
	for i := range slices.Items {
		s := &slices.Items[i]
		if hasReady(s) {
			ready[types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}] = true
		}
	}
	var all []check.Mirror
	for _, s := range services.Items {
		m := check.Mirror{
			Namespace: s.Namespace, Name: s.Name, Cluster: s.Labels[v1alpha3.LabelClusterName],
			Direct: s.Labels[v1alpha3.LabelRemoteDiscovery] != "",
			Ready:  ready[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}],
		}
		if m.Cluster != "" { // federated services belong to no single cluster
			all = append(all, m)
		}
	}
	return read(all, nil, needs)
}

// hasReady takes an endpoint that says nothing as ready, as Kubernetes does.
func hasReady(s *discoveryv1.EndpointSlice) bool {
	for _, e := range s.Endpoints {
		if e.Conditions.Ready == nil || *e.Conditions.Ready {
			return true
		}
	}
	return false
}
