package mirror

import (
	"context"
	"sync"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/link/remote"
)

// Key names one service of one target.
type Key struct {
	Link      link.Name
	Namespace string
	Name      string
}

func (k Key) service() remote.ServiceKey {
	return remote.ServiceKey{Namespace: k.Namespace, Name: k.Name}
}

// keyOf finds the service that a local object mirrors, by its label and annotation. Objects that are
// no mirror, or whose Link is not known, have no key.
func (r *Reconciler) keyOf(obj client.Object) (Key, bool) {
	namespace, name, ok := link.SplitFQName(obj.GetAnnotations()[v1alpha3.AnnotationRemoteServiceFQName])
	if !ok || namespace != obj.GetNamespace() {
		return Key{}, false
	}
	l, ok := r.links.ByCluster(obj.GetLabels()[v1alpha3.LabelClusterName])
	if !ok {
		return Key{}, false
	}
	return Key{Link: l.Name, Namespace: namespace, Name: name}, true
}

// bulk is the priority of keys that are looked at because everything is: below that of live changes,
// so that one changed service never queues behind a first list (the mirror of LESSON-1).
const bulk = -100

// queue is the controller's queue once it runs. Keys added before are dropped: opened is called when
// it starts, and wakes everything.
type queue struct {
	opened func()

	mu sync.Mutex
	q  workqueue.TypedRateLimitingInterface[Key]
}

// start takes hold of the queue; it is the controller's first source.
func (q *queue) start(_ context.Context, own workqueue.TypedRateLimitingInterface[Key]) error {
	q.mu.Lock()
	q.q = own
	q.mu.Unlock()
	q.opened()
	return nil
}

func (q *queue) add(priority int, keys ...Key) {
	q.mu.Lock()
	own := q.q
	q.mu.Unlock()
	switch own := own.(type) {
	case nil:
	case priorityqueue.PriorityQueue[Key]:
		own.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, keys...)
	default:
		for _, k := range keys {
			own.Add(k)
		}
	}
}

// Local EndpointSlices are indexed by the Service that they belong to, and by the remote service that
// they say they mirror.
const (
	sliceService  = "service"
	sliceMirrored = "mirrored"
)

func mirroredIndex(cluster string, key remote.ServiceKey) string { return cluster + "/" + key.Name }

func indexMirrored(obj client.Object) []string {
	if cluster, key, ok := mirrored(obj); ok {
		return []string{mirroredIndex(cluster, key)}
	}
	return nil
}

func indexSlice(obj client.Object) []string {
	if name := obj.GetLabels()[discoveryv1.LabelServiceName]; name != "" {
		return []string{name}
	}
	return nil
}
