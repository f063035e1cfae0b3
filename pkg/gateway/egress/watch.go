package egress

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/gateway/follow"
)

// mirrorSelector selects the Services that a service mirror made, and sliceSelector the slices of ours.
const (
	mirrorSelector = v1alpha3.LabelMirroredService + "=true"
	sliceSelector  = discoveryv1.LabelManagedBy + "=" + v1alpha3.SliceManagedBy
)

// follower feeds a Table from an API server.
type follower struct {
	log       logr.Logger
	metrics   *Metrics
	table     *Table
	namespace string
	services  rest.Interface
	slices    rest.Interface
	links     rest.Interface
}

// newFollower follows Links in one namespace, and mirrors and their slices in all. Its errors are of config.
func newFollower(log logr.Logger, config *rest.Config, namespace string, table *Table, metrics *Metrics) (*follower, error) {
	f := &follower{log: log, metrics: metrics, table: table, namespace: namespace}
	shared, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("follow mirrors and Links: %w", err)
	}
	if f.services, err = follow.Client(config, shared, "/api", corev1.SchemeGroupVersion, corev1.AddToScheme, follow.Protobuf); err != nil {
		return nil, fmt.Errorf("follow mirrors: %w", err)
	}
	if f.slices, err = follow.Client(config, shared, "/apis", discoveryv1.SchemeGroupVersion, discoveryv1.AddToScheme, follow.Protobuf); err != nil {
		return nil, fmt.Errorf("follow the slices of mirrors: %w", err)
	}
	if f.links, err = follow.Client(config, shared, "/apis", v1alpha3.GroupVersion, v1alpha3.AddToScheme, follow.JSON); err != nil {
		return nil, fmt.Errorf("follow Links: %w", err)
	}
	return f, nil
}

// run feeds the Table until ctx ends, and returns when nothing of it runs any more. It reconnects for
// ever. It must be called once.
func (f *follower) run(ctx context.Context) {
	follower := follow.Follower{Log: f.log, What: "mirrors and Links", Failures: f.metrics.failures}
	mirrors := follower.Reflector(follow.Resource{
		Name: "services", Kind: &corev1.Service{}, List: func() runtime.Object { return &corev1.ServiceList{} },
		Get: func() *rest.Request { return f.services.Get() }, Selector: mirrorSelector,
	}, follow.Feed[*corev1.Service]{Set: f.table.SetService, Swap: f.table.ReplaceServices, Remove: func(svc *corev1.Service) { f.table.DeleteService(svc.Namespace, svc.Name) }})
	slices := follower.Reflector(follow.Resource{
		Name: "endpointslices", Kind: &discoveryv1.EndpointSlice{}, List: func() runtime.Object { return &discoveryv1.EndpointSliceList{} },
		Get: func() *rest.Request { return f.slices.Get() }, Selector: sliceSelector,
	}, follow.Feed[*discoveryv1.EndpointSlice]{Set: f.table.SetSlice, Swap: f.table.ReplaceSlices, Remove: func(es *discoveryv1.EndpointSlice) { f.table.DeleteSlice(es.Namespace, es.Name) }})
	links := follower.Reflector(follow.Resource{
		Name: "links", Kind: &v1alpha3.Link{}, List: func() runtime.Object { return &v1alpha3.LinkList{} },
		Get: func() *rest.Request { return f.links.Get().Namespace(f.namespace) },
	}, follow.Feed[*v1alpha3.Link]{Set: f.table.SetLink, Swap: f.table.ReplaceLinks, Remove: func(obj *v1alpha3.Link) { f.table.DeleteLink(obj.Name) }})
	follower.Run(ctx, mirrors, slices, links)
}
