package mirror

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/link/remote"
)

// Back-off of a key whose pass failed: an obstacle that goes is noticed within five seconds (LESSON-62).
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// SetupWithManager registers the controller, its index and its sources.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	for name, index := range map[string]client.IndexerFunc{sliceService: indexSlice, sliceMirrored: indexMirrored} {
		if err := mgr.GetFieldIndexer().IndexField(ctx, &discoveryv1.EndpointSlice{}, name, index); err != nil {
			return fmt.Errorf("indexing endpoint slices: %w", err)
		}
	}
	warm := true
	c, err := controller.NewTyped("mirror", mgr, controller.TypedOptions[Key]{
		Reconciler:              r,
		MaxConcurrentReconciles: r.opts.Workers,
		EnableWarmup:            &warm,
		ReconciliationTimeout:   30 * time.Second,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[Key](minBackoff, maxBackoff),
	})
	if err != nil {
		return fmt.Errorf("setting up the mirror controller: %w", err)
	}
	return r.watch(ctx, mgr, c)
}

func (r *Reconciler) watch(ctx context.Context, mgr ctrl.Manager, c controller.TypedController[Key]) error {
	namespaces := &metav1.PartialObjectMetadata{}
	namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	sources := []source.TypedSource[Key]{
		source.TypedFunc[Key](r.queue.start),
		source.TypedKind[client.Object, Key](mgr.GetCache(), &corev1.Service{}, handler.TypedEnqueueRequestsFromMapFunc[client.Object, Key](r.keysOf)),
		source.TypedKind[client.Object, Key](mgr.GetCache(), &discoveryv1.EndpointSlice{}, handler.TypedEnqueueRequestsFromMapFunc[client.Object, Key](r.keysOf)),
		source.TypedKind[client.Object, Key](mgr.GetCache(), namespaces, handler.TypedEnqueueRequestsFromMapFunc[client.Object, Key](r.keysIn)),
	}
	for _, s := range sources {
		if err := c.Watch(s); err != nil {
			return fmt.Errorf("watching for the mirror controller: %w", err)
		}
	}
	remembered, err := r.follow(ctx, mgr.GetCache(), namespaces)
	if err != nil {
		return err
	}
	if err := c.Watch(remembered); err != nil {
		return fmt.Errorf("watching for the mirror controller: %w", err)
	}
	return nil
}

// keysOf wakes the key of a local object. Both states of an object that changed are mapped, so that one
// which lost the annotation that names its service is looked at all the same.
func (r *Reconciler) keysOf(_ context.Context, obj client.Object) []Key {
	if k, ok := r.keyOf(obj); ok {
		return []Key{k}
	}
	return nil
}

// keysIn wakes what waits for a namespace, the moment it changes.
func (r *Reconciler) keysIn(_ context.Context, obj client.Object) []Key {
	return r.outcomes.waitingIn(obj.GetName())
}

// ServiceChanged wakes one service of a target; initial marks a first list.
func (r *Reconciler) ServiceChanged(name link.Name, key remote.ServiceKey, initial bool) {
	k := Key{Link: name, Namespace: key.Namespace, Name: key.Name}
	if initial {
		r.queue.add(bulk, k)
		return
	}
	if r.leading() {
		r.arrivals.note(k)
	}
	r.queue.add(0, k)
}

func (r *Reconciler) leading() bool {
	select {
	case <-r.elected:
		return true
	default:
		return false
	}
}

// LinkChanged wakes every service of a Link: those that its target exports and those that have a mirror.
func (r *Reconciler) LinkChanged(name link.Name) { r.wake(name, bulk) }

// GatewayChanged wakes the mirrors of a Link, ahead of bulk work: traffic may be going nowhere.
func (r *Reconciler) GatewayChanged(name link.Name) {
	if l, ok := r.links.Get(name); ok {
		r.add(0, name, r.locals.keys(l.Cluster))
	}
	r.status(name)
}

func (r *Reconciler) wake(name link.Name, priority int) {
	l, ok := r.links.Get(name)
	if !ok {
		return
	}
	r.add(priority, name, r.targets.Keys(l))
	r.add(priority, name, r.locals.keys(l.Cluster))
	r.status(name)
}

func (r *Reconciler) add(priority int, name link.Name, services []remote.ServiceKey) {
	keys := make([]Key, 0, len(services))
	for _, s := range services {
		keys = append(keys, Key{Link: name, Namespace: s.Namespace, Name: s.Name})
	}
	r.queue.add(priority, keys...)
}
