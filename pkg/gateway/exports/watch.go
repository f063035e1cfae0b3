package exports

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Waiting after a failure. A control plane that comes back is followed again within the longest, with
// which an end of an export could be missed; it costs the API server two requests at a time.
const (
	firstRetry   = 500 * time.Millisecond
	longestRetry = 10 * time.Second
	retryJitter  = 0.5
)

// Watch feeds the Table from an API server until ctx ends, and returns when nothing of it runs any more.
// It reconnects for ever, so its only errors, which come at once, are of config. It must be called once.
//
// It needs to list and watch services and endpointslices.discovery.k8s.io in all namespaces.
//
// It is made of reflectors, the lower half of client-go's informers. The upper half would keep a second
// copy of each object, and the typed clients, like controller-runtime, link every kind of Kubernetes
// into the program, which would double its size.
func (t *Table) Watch(ctx context.Context, config *rest.Config) error {
	core, discovery, err := newClients(config)
	if err != nil {
		return fmt.Errorf("watch what is exported: %w", err)
	}
	ctx = klog.NewContext(ctx, quiet(t.log))
	services := t.reflector(core, "services", t.exported, &corev1.Service{}, func() runtime.Object { return &corev1.ServiceList{} },
		feed[*corev1.Service]{t.SetService, t.ReplaceServices, func(svc *corev1.Service) { t.DeleteService(svc.Namespace, svc.Name) }})
	endpoints := t.reflector(discovery, "endpointslices", t.headless, &discoveryv1.EndpointSlice{}, func() runtime.Object { return &discoveryv1.EndpointSliceList{} },
		feed[*discoveryv1.EndpointSlice]{t.SetSlice, t.ReplaceSlices, func(es *discoveryv1.EndpointSlice) { t.DeleteSlice(es.Namespace, es.Name) }})
	var running sync.WaitGroup
	running.Go(func() { services.RunWithContext(ctx) })
	running.Go(func() { endpoints.RunWithContext(ctx) })
	running.Wait()
	return nil
}

// newClients know the two groups, and nothing else of Kubernetes. They share one connection.
func newClients(config *rest.Config) (core, discovery rest.Interface, err error) {
	scheme := runtime.NewScheme()
	for _, add := range [...]func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, nil, err
		}
	}
	shared, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, nil, err
	}
	if core, err = newClient(config, shared, scheme, "/api", corev1.SchemeGroupVersion); err != nil {
		return nil, nil, err
	}
	if discovery, err = newClient(config, shared, scheme, "/apis", discoveryv1.SchemeGroupVersion); err != nil {
		return nil, nil, err
	}
	return core, discovery, nil
}

func newClient(config *rest.Config, shared *http.Client, scheme *runtime.Scheme, path string, gv schema.GroupVersion) (rest.Interface, error) {
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = path, &gv
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return rest.RESTClientForConfigAndClient(config, shared)
}

// reflector lists and watches what selector selects of one resource.
func (t *Table) reflector(client rest.Interface, resource string, selector labels.Selector, kind runtime.Object,
	newList func() runtime.Object, store cache.ReflectorStore,
) *cache.Reflector {
	request := func(options metav1.ListOptions) *rest.Request {
		options.LabelSelector = selector.String()
		return client.Get().Resource(resource).VersionedParams(&options, metav1.ParameterCodec)
	}
	listing, watching := t.newOutage(resource, "list"), t.newOutage(resource, "watch")
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			if options.ResourceVersion == "0" {
				options.ResourceVersion = "" // the first list: "0" lets an API server answer from a cache of any age
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
		Name: resource, Logger: new(quiet(t.log)),
		Backoff: &wait.Backoff{Duration: firstRetry, Cap: longestRetry, Factor: 2, Jitter: retryJitter, Steps: int(longestRetry / firstRetry)},
	})
}

// listFirst turns off the streaming of first lists. While it retries, a reflector that streams does
// not notice the end of its context, and says nothing of what fails; exported Services are few.
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
