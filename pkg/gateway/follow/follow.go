package follow

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Waiting after a failure. A control plane that comes back is followed again within the longest, with which a change
// could be missed; it costs the API server two requests at a time for each resource.
const (
	firstRetry   = 500 * time.Millisecond
	longestRetry = 10 * time.Second
	retryJitter  = 0.5
)

// Forms that an API server may answer in.
const (
	// Protobuf is for Kubernetes' own kinds.
	Protobuf = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	// JSON is the only one for custom resources.
	JSON = runtime.ContentTypeJSON
)

// Client makes a client that knows the kinds of one group, and nothing else of Kubernetes. It shares its connections with
// others. path is /api for the core group and /apis for any other.
func Client(config *rest.Config, shared *http.Client, path string, gv schema.GroupVersion, add func(*runtime.Scheme) error, accept string) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	if err := add(scheme); err != nil {
		return nil, fmt.Errorf("the kinds of %s: %w", gv, err)
	}
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = path, &gv
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, accept // nothing is sent
	client, err := rest.RESTClientForConfigAndClient(config, shared)
	if err != nil {
		return nil, fmt.Errorf("a client for %s: %w", gv, err)
	}
	return client, nil
}

// Follower makes reflectors that tell of their outages in the same way.
type Follower struct {
	Log logr.Logger
	// What is followed, in words, for the log.
	What string
	// Failures counts requests that failed, by resource and verb.
	Failures *prometheus.CounterVec
}

// Resource is what is listed and watched.
type Resource struct {
	// Name is the plural, such as services.
	Name string
	Kind runtime.Object
	// List makes an empty list of the kind.
	List func() runtime.Object
	// Get begins a request.
	Get func() *rest.Request
	// Selector is of labels; all objects when empty.
	Selector string
}

// Run lists and watches until ctx ends, and returns when nothing of it runs any more. It reconnects for ever.
func (f Follower) Run(ctx context.Context, reflectors ...*cache.Reflector) {
	ctx = klog.NewContext(ctx, quiet(f.Log))
	var running sync.WaitGroup
	for _, r := range reflectors {
		running.Go(func() { r.RunWithContext(ctx) })
	}
	running.Wait()
}

// Reflector hands the objects of a resource to store.
func (f Follower) Reflector(r Resource, store cache.ReflectorStore) *cache.Reflector {
	request := func(options metav1.ListOptions) *rest.Request {
		options.LabelSelector = r.Selector
		return r.Get().Resource(r.Name).VersionedParams(&options, metav1.ParameterCodec)
	}
	listing, watching := f.newOutage(r.Name, "list"), f.newOutage(r.Name, "watch")
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			if options.ResourceVersion == "0" {
				// The first list. "0" lets an API server answer from a cache of any age: a restart would
				// bring back what has ended.
				options.ResourceVersion = ""
			}
			list := r.List()
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
	return cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, listFirst{}), r.Kind, store, cache.ReflectorOptions{
		Name: r.Name, Logger: new(quiet(f.Log)),
		Backoff: &wait.Backoff{Duration: firstRetry, Cap: longestRetry, Factor: 2, Jitter: retryJitter, Steps: int(longestRetry / firstRetry)},
	})
}

// listFirst turns off the streaming of first lists. While it retries, a reflector that streams does
// not notice the end of its context, and says nothing of what fails.
type listFirst struct{}

// IsWatchListSemanticsUnSupported is asked by client-go.
func (listFirst) IsWatchListSemanticsUnSupported() bool { return true }
