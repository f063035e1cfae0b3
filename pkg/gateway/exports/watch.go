package exports

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/linkspan/linkspan/pkg/gateway/follow"
)

// Watch feeds the Table from an API server until ctx ends, and returns when nothing of it runs any more.
// It reconnects for ever, so its only errors, which come at once, are of config. It must be called once.
//
// It needs to list and watch services and endpointslices.discovery.k8s.io in all namespaces.
func (t *Table) Watch(ctx context.Context, config *rest.Config) error {
	core, discovery, err := newClients(config)
	if err != nil {
		return fmt.Errorf("watch what is exported: %w", err)
	}
	follower := follow.Follower{Log: t.log, What: "the cluster's exports", Failures: t.metrics.failures}
	services := follower.Reflector(follow.Resource{
		Name: "services", Kind: &corev1.Service{}, List: func() runtime.Object { return &corev1.ServiceList{} },
		Get: func() *rest.Request { return core.Get() }, Selector: t.exported.String(),
	}, follow.Feed[*corev1.Service]{Set: t.SetService, Swap: t.ReplaceServices, Remove: func(svc *corev1.Service) { t.DeleteService(svc.Namespace, svc.Name) }})
	endpoints := follower.Reflector(follow.Resource{
		Name: "endpointslices", Kind: &discoveryv1.EndpointSlice{}, List: func() runtime.Object { return &discoveryv1.EndpointSliceList{} },
		Get: func() *rest.Request { return discovery.Get() }, Selector: t.headless.String(),
	}, follow.Feed[*discoveryv1.EndpointSlice]{Set: t.SetSlice, Swap: t.ReplaceSlices, Remove: func(es *discoveryv1.EndpointSlice) { t.DeleteSlice(es.Namespace, es.Name) }})
	follower.Run(ctx, services, endpoints)
	return nil
}

// newClients share their connections.
func newClients(config *rest.Config) (core, discovery rest.Interface, err error) {
	shared, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, nil, err
	}
	if core, err = follow.Client(config, shared, "/api", corev1.SchemeGroupVersion, corev1.AddToScheme, follow.Protobuf); err != nil {
		return nil, nil, err
	}
	if discovery, err = follow.Client(config, shared, "/apis", discoveryv1.SchemeGroupVersion, discoveryv1.AddToScheme, follow.Protobuf); err != nil {
		return nil, nil, err
	}
	return core, discovery, nil
}
