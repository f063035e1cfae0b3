package remote

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// byService indexes EndpointSlices by namespace/name of the Service that they belong to.
const byService = "service"

// feed is one list-and-watch on the target, with its cache. It runs from start until stop.
type feed struct {
	informer cache.SharedIndexInformer
	cancel   context.CancelFunc
	ended    chan struct{}
}

// feedHandler is told of what a feed sees. missing is true when the object was not seen to be
// deleted but was absent from a fresh list.
type feedHandler struct {
	changed func(obj any, initial bool)
	deleted func(obj any, missing bool)
	failed  func(error)
}

func newServiceFeed(c *remoteClient, s labels.Selector, h feedHandler) (*feed, error) {
	api := c.CoreV1().Services(metav1.NamespaceAll)
	return newFeed(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = s.String()
			return api.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = s.String()
			return api.Watch(ctx, o)
		},
	}, c, &corev1.Service{}, nil, trimService, h)
}

func newSliceFeed(c *remoteClient, s labels.Selector, h feedHandler) (*feed, error) {
	api := c.DiscoveryV1().EndpointSlices(metav1.NamespaceAll)
	return newFeed(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = s.String()
			return api.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = s.String()
			return api.Watch(ctx, o)
		},
	}, c, &discoveryv1.EndpointSlice{}, cache.Indexers{byService: indexByService}, trimSlice, h)
}

func newFeed(lw *cache.ListWatch, c *remoteClient, kind runtime.Object, idx cache.Indexers, trim cache.TransformFunc, h feedHandler) (*feed, error) {
	informer := cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lw, c.Clientset), kind, 0, idx)
	if err := informer.SetTransform(trim); err != nil {
		return nil, fmt.Errorf("preparing a watch: %w", err)
	}
	if err := informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) { h.failed(err) }); err != nil {
		return nil, fmt.Errorf("preparing a watch: %w", err)
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    h.changed,
		UpdateFunc: func(_, obj any) { h.changed(obj, false) },
		DeleteFunc: func(obj any) {
			gone, missing := obj.(cache.DeletedFinalStateUnknown)
			if missing {
				obj = gone.Obj
			}
			h.deleted(obj, missing)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing a watch: %w", err)
	}
	return &feed{informer: informer, ended: make(chan struct{})}, nil
}

func (f *feed) start(ctx context.Context) {
	ctx, f.cancel = context.WithCancel(ctx)
	go func() {
		defer close(f.ended)
		f.informer.RunWithContext(ctx)
	}()
}

// listed waits for the first list.
func (f *feed) listed(ctx context.Context) error {
	select {
	case <-f.informer.HasSyncedChecker().Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for a first list: %w", ctx.Err())
	}
}

// stop ends the watch and waits until no handler will be called again.
func (f *feed) stop() {
	f.cancel()
	<-f.ended
}

// keyOf is the Service that an object is or belongs to; a target can send anything.
func keyOf(obj any) (key ServiceKey, ok bool) {
	switch o := obj.(type) {
	case *corev1.Service:
		key = ServiceKey{o.Namespace, o.Name}
	case *discoveryv1.EndpointSlice:
		key = ServiceKey{o.Namespace, o.Labels[discoveryv1.LabelServiceName]}
	}
	return key, key.legal()
}

func indexByService(obj any) ([]string, error) {
	slice, ok := obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return nil, fmt.Errorf("indexing endpoint slices: got a %T", obj)
	}
	return []string{slice.Namespace + "/" + slice.Labels[discoveryv1.LabelServiceName]}, nil
}

// trimService drops what no mirror is made of, before it enters memory.
func trimService(obj any) (any, error) {
	if svc, ok := obj.(*corev1.Service); ok {
		svc.ManagedFields, svc.OwnerReferences, svc.Finalizers = nil, nil, nil
		svc.Status = corev1.ServiceStatus{}
		delete(svc.Annotations, corev1.LastAppliedConfigAnnotation) // a copy of the whole object, never mirrored
	}
	return obj, nil
}

// trimSlice drops what means nothing outside the target: nodes, pods and its own topology hints.
func trimSlice(obj any) (any, error) {
	slice, ok := obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return obj, nil
	}
	slice.ManagedFields, slice.OwnerReferences, slice.Annotations = nil, nil, nil
	for i := range slice.Endpoints {
		e := &slice.Endpoints[i]
		e.NodeName, e.TargetRef, e.Hints, e.DeprecatedTopology = nil, nil, nil, nil
	}
	return slice, nil
}
