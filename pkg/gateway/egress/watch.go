package egress

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// Waiting after a failure. A control plane that comes back is followed again within the longest; it
// costs the API server two requests at a time.
const (
	firstRetry   = 500 * time.Millisecond
	longestRetry = 10 * time.Second
	retryJitter  = 0.5
)

// mirrorSelector selects the Services that a service mirror made, and sliceSelector the slices of ours.
const (
	mirrorSelector = v1alpha3.LabelMirroredService + "=true"
	sliceSelector  = discoveryv1.LabelManagedBy + "=" + v1alpha3.SliceManagedBy
)

// follower feeds a Table from an API server, in the same way as package exports does: with reflectors,
// the lower half of client-go's informers, which keep no copies, and clients that know nothing of
// Kubernetes but the three kinds.
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
	const protobuf = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	if f.services, err = newClient(config, shared, "/api", corev1.SchemeGroupVersion, corev1.AddToScheme, protobuf); err != nil {
		return nil, fmt.Errorf("follow mirrors: %w", err)
	}
	if f.slices, err = newClient(config, shared, "/apis", discoveryv1.SchemeGroupVersion, discoveryv1.AddToScheme, protobuf); err != nil {
		return nil, fmt.Errorf("follow the slices of mirrors: %w", err)
	}
	// A custom resource has no other form than JSON.
	if f.links, err = newClient(config, shared, "/apis", v1alpha3.GroupVersion, v1alpha3.AddToScheme, runtime.ContentTypeJSON); err != nil {
		return nil, fmt.Errorf("follow Links: %w", err)
	}
	return f, nil
}

// newClient knows one group, and shares its connection with others.
func newClient(config *rest.Config, shared *http.Client, path string, gv schema.GroupVersion, add func(*runtime.Scheme) error, accept string) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	if err := add(scheme); err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = path, &gv
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, accept
	return rest.RESTClientForConfigAndClient(config, shared)
}

// run feeds the Table until ctx ends, and returns when nothing of it runs any more. It reconnects for
// ever. It must be called once.
func (f *follower) run(ctx context.Context) {
	ctx = klog.NewContext(ctx, quiet(f.log))
	mirrors := f.reflector("services", &corev1.Service{}, func() runtime.Object { return &corev1.ServiceList{} },
		func(o *metav1.ListOptions) *rest.Request {
			o.LabelSelector = mirrorSelector
			return f.services.Get()
		},
		feed[*corev1.Service]{f.table.SetService, f.table.ReplaceServices, func(svc *corev1.Service) { f.table.DeleteService(svc.Namespace, svc.Name) }})
	slices := f.reflector("endpointslices", &discoveryv1.EndpointSlice{}, func() runtime.Object { return &discoveryv1.EndpointSliceList{} },
		func(o *metav1.ListOptions) *rest.Request {
			o.LabelSelector = sliceSelector
			return f.slices.Get()
		},
		feed[*discoveryv1.EndpointSlice]{f.table.SetSlice, f.table.ReplaceSlices, func(es *discoveryv1.EndpointSlice) { f.table.DeleteSlice(es.Namespace, es.Name) }})
	links := f.reflector("links", &v1alpha3.Link{}, func() runtime.Object { return &v1alpha3.LinkList{} },
		func(*metav1.ListOptions) *rest.Request { return f.links.Get().Namespace(f.namespace) },
		feed[*v1alpha3.Link]{f.table.SetLink, f.table.ReplaceLinks, func(obj *v1alpha3.Link) { f.table.DeleteLink(obj.Name) }})
	var running sync.WaitGroup
	running.Go(func() { mirrors.RunWithContext(ctx) })
	running.Go(func() { slices.RunWithContext(ctx) })
	running.Go(func() { links.RunWithContext(ctx) })
	running.Wait()
}

// reflector lists and watches one resource; narrow says where, and may narrow which.
func (f *follower) reflector(resource string, kind runtime.Object, newList func() runtime.Object,
	narrow func(*metav1.ListOptions) *rest.Request, store cache.ReflectorStore,
) *cache.Reflector {
	request := func(options metav1.ListOptions) *rest.Request {
		return narrow(&options).Resource(resource).VersionedParams(&options, metav1.ParameterCodec)
	}
	listing, watching := f.newOutage(resource, "list"), f.newOutage(resource, "watch")
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			if options.ResourceVersion == "0" {
				// The first list. "0" lets an API server answer from a cache of any age: a restart would
				// bring mirrors back that have ended, and their ports.
				options.ResourceVersion = ""
			}
			list := newList()
			err := request(options).Do(ctx).Into(list)
			listing.note(ctx, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.Watch = true
			w, err := request(options).Watch(ctx)
			watching.note(ctx, err)
			return w, err
		},
	}
	return cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, listFirst{}), kind, store, cache.ReflectorOptions{
		Name: resource, Logger: new(quiet(f.log)),
		Backoff: &wait.Backoff{Duration: firstRetry, Cap: longestRetry, Factor: 2, Jitter: retryJitter, Steps: int(longestRetry / firstRetry)},
	})
}

// listFirst turns off the streaming of first lists. While it retries, a reflector that streams does
// not notice the end of its context, and says nothing of what fails.
type listFirst struct{}

// IsWatchListSemanticsUnSupported is asked by client-go.
func (listFirst) IsWatchListSemanticsUnSupported() bool { return true }

// feed hands what a reflector sees to a Table.
type feed[T runtime.Object] struct {
	set     func(T)
	replace func([]T)
	remove  func(T)
}

// Add implements cache.ReflectorStore.
func (f feed[T]) Add(obj any) error { return give(obj, f.set) }

// Update implements cache.ReflectorStore.
func (f feed[T]) Update(obj any) error { return give(obj, f.set) }

// Delete implements cache.ReflectorStore.
func (f feed[T]) Delete(obj any) error { return give(obj, f.remove) }

// Replace implements cache.ReflectorStore.
func (f feed[T]) Replace(list []any, _ string) error {
	all := make([]T, 0, len(list))
	for _, obj := range list {
		if err := give(obj, func(typed T) { all = append(all, typed) }); err != nil {
			return err
		}
	}
	f.replace(all)
	return nil
}

// Resync implements cache.ReflectorStore. It is never called: nothing here is done for the clock's sake.
func (f feed[T]) Resync() error { return nil }

func give[T any](obj any, to func(T)) error {
	typed, ok := obj.(T)
	if !ok {
		return fmt.Errorf("the API server sent a %T, want a %T", obj, *new(T))
	}
	to(typed)
	return nil
}
