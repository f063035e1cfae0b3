package observe

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/check"
)

// nameGateway is what a gateway's Service is called unless values say otherwise.
const nameGateway = "linkerd-gateway"

func (o *Observer) observeServices(ctx context.Context, f *check.Facts) {
	home, err := o.kube.CoreV1().Services(f.Namespace).List(ctx, metav1.ListOptions{})
	gateways := home.Items[:0]
	for _, s := range home.Items {
		if s.Annotations[v1alpha3.AnnotationMulticlusterGateway] == "true" {
			gateways = append(gateways, s)
		}
	}
	f.GatewayServices = read(gateways, err, right("list", "", "services", f.Namespace))
	f.OtherGateways = o.otherGateways(ctx, f.Namespace)
	f.Mirrors = o.mirrors(ctx)
	exported, err := o.kube.CoreV1().Services("").List(ctx, metav1.ListOptions{LabelSelector: v1alpha3.LabelExported})
	var exports []check.Export
	for _, s := range exported.Items {
		exports = append(exports, check.Export{Namespace: s.Namespace, Name: s.Name, Value: s.Labels[v1alpha3.LabelExported]})
	}
	f.Exports = read(exports, err, right("list", "", "services", ""))
}

// otherGateways finds those with the usual name, which is Linkerd's and ours: no list of all Services is worth it.
func (o *Observer) otherGateways(ctx context.Context, home string) check.Read[[]string] {
	list, err := o.kube.CoreV1().Services("").List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", nameGateway).String()})
	var names []string
	for _, s := range list.Items {
		if s.Namespace != home && s.Annotations[v1alpha3.AnnotationMulticlusterGateway] == "true" {
			names = append(names, s.Namespace+"/"+s.Name)
		}
	}
	return read(names, err, right("list", "", "services", ""))
}

func (o *Observer) loadBalancers(ctx context.Context) check.Read[check.LoadBalancers] {
	list, err := o.kube.CoreV1().Services("").List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.type", string(corev1.ServiceTypeLoadBalancer)).String(),
	})
	count := check.LoadBalancers{All: len(list.Items)}
	for _, s := range list.Items {
		if len(s.Status.LoadBalancer.Ingress) > 0 {
			count.WithAddress++
		}
	}
	return read(count, err, right("list", "", "services", ""))
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
