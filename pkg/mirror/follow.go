package mirror

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/link/remote"
)

// follow keeps what is remembered of mirrors and namespaces in step with the cache.
func (r *Reconciler) follow(ctx context.Context, c cache.Cache, namespace client.Object) (remembered, error) {
	services, err := handle(ctx, c, &corev1.Service{}, toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { r.index(obj, r.locals.add) },
		UpdateFunc: func(old, obj any) {
			r.index(old, r.locals.remove)
			r.index(obj, r.locals.add)
		},
		DeleteFunc: func(obj any) {
			r.index(obj, r.locals.remove)
			r.unclaimed(obj)
		},
	})
	if err != nil {
		return nil, err
	}
	slices, err := handle(ctx, c, &discoveryv1.EndpointSlice{}, toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { r.claimed(ctx, nil, obj) },
		UpdateFunc: func(old, obj any) { r.claimed(ctx, old, obj) },
		DeleteFunc: func(obj any) { r.claimed(ctx, obj, nil) },
	})
	if err != nil {
		return nil, err
	}
	namespaces, err := handle(ctx, c, namespace, toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { r.meshSeen(obj, false) },
		UpdateFunc: func(_, obj any) { r.meshSeen(obj, false) },
		DeleteFunc: func(obj any) { r.meshSeen(obj, true) },
	})
	if err != nil {
		return nil, err
	}
	r.indexed = func() bool { return services.HasSynced() && slices.HasSynced() }
	return remembered{services, slices, namespaces}, nil
}

func handle(ctx context.Context, c cache.Cache, kind client.Object, funcs toolscache.ResourceEventHandlerFuncs) (toolscache.ResourceEventHandlerRegistration, error) {
	informer, err := c.GetInformer(ctx, kind)
	if err != nil {
		return nil, fmt.Errorf("watching %T: %w", kind, err)
	}
	registered, err := informer.AddEventHandler(funcs)
	if err != nil {
		return nil, fmt.Errorf("watching %T: %w", kind, err)
	}
	return registered, nil
}

// remembered are handlers that remember something. As a source of the controller it brings no keys: it
// holds them back until everything that was there at the start is remembered.
type remembered []toolscache.ResourceEventHandlerRegistration

// Start implements source.TypedSource.
func (remembered) Start(context.Context, workqueue.TypedRateLimitingInterface[Key]) error { return nil }

// WaitForSync implements source.TypedSyncingSource.
func (m remembered) WaitForSync(ctx context.Context) error {
	for _, handler := range m {
		select {
		case <-handler.HasSyncedChecker().Done():
		case <-ctx.Done():
			return fmt.Errorf("remembering what is there: %w", ctx.Err())
		}
	}
	return nil
}

// last is an object as it was when it was last seen, if the watch did not see it go.
func last(obj any) any {
	if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		return gone.Obj
	}
	return obj
}

func (r *Reconciler) index(obj any, change func(string, remote.ServiceKey)) {
	if o, ok := last(obj).(client.Object); ok {
		// A copy of a mirror under another name is not the mirror.
		if cluster, key, ok := mirrored(o); ok && o.GetName() == (link.Link{Cluster: cluster}).MirrorName(key.Name) {
			change(cluster, key)
		}
	}
}
