package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
	"github.com/linkspan/linkspan/pkg/probe"
)

// errStale means that the local cache has not seen our own last write yet. Its event will wake the key.
var errStale = errors.New("the cache has not caught up with our last write")

// observe reads everything that is known of a key, from caches and memory. Only when a deletion is
// at stake does it ask the target, and not being sure makes the target Unknown.
func (r *Reconciler) observe(ctx context.Context, k Key, l link.Link) (plan.Input, error) {
	in := plan.Input{
		Link: l, Namespace: k.Namespace, Name: k.Name,
		Policy: r.opts.Policy(), Mirrors: r.locals.count(l.Cluster), Gateway: r.gatewayOf(l),
	}
	var err error
	if in.Policy.Imports(k.Namespace) { // what is elsewhere is neither read nor touched
		in.Local, err = r.local(ctx, k, l)
	}
	if err != nil {
		return in, err
	}
	if in.LocalNamespace, err = r.namespace(ctx, k.Namespace); err != nil {
		return in, err
	}
	if in.Remote, err = r.remote(ctx, k, l, in.Local); err != nil {
		return in, err
	}
	return in, r.egressOf(ctx, types.NamespacedName{Namespace: k.Namespace, Name: l.MirrorName(k.Name)}, &in)
}

// local reads the mirror and its slices, and refuses a view that is older than our own writes.
func (r *Reconciler) local(ctx context.Context, k Key, l link.Link) (plan.Local, error) {
	local := plan.Local{Foreign: r.conflicts.has(k)}
	var svc corev1.Service
	key := types.NamespacedName{Namespace: k.Namespace, Name: l.MirrorName(k.Name)}
	switch err := r.client.Get(ctx, key, &svc); {
	case err == nil:
		local.Service, local.Foreign = &svc, false
	case !apierrors.IsNotFound(err):
		return local, fmt.Errorf("reading service %s from the cache: %w", key, err)
	}
	if r.writes.stale(object{serviceKind, key}, svc.UID, svc.ResourceVersion) {
		return local, errStale
	}
	have, err := r.slices(ctx, k, l)
	if err != nil {
		return local, err
	}
	for _, o := range r.writes.slicesOf(key) {
		seen := have[o.Name]
		if seen == nil {
			seen = &discoveryv1.EndpointSlice{}
		}
		if r.writes.stale(o, seen.UID, seen.ResourceVersion) {
			return local, errStale
		}
	}
	local.Slices = slices.SortedFunc(maps.Values(have), func(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
	return local, nil
}

// slices are those that carry traffic of the mirror, whoever made them, and those that say that they
// mirror the service, even where somebody gave them to another Service.
func (r *Reconciler) slices(ctx context.Context, k Key, l link.Link) (map[string]*discoveryv1.EndpointSlice, error) {
	have := map[string]*discoveryv1.EndpointSlice{}
	for index, value := range map[string]string{sliceService: l.MirrorName(k.Name), sliceMirrored: mirroredIndex(l.Cluster, k.service())} {
		var list discoveryv1.EndpointSliceList
		if err := r.client.List(ctx, &list, client.InNamespace(k.Namespace), client.MatchingFields{index: value}); err != nil {
			return nil, fmt.Errorf("reading the slices of %s/%s from the cache: %w", k.Namespace, value, err)
		}
		for i := range list.Items {
			have[list.Items[i].Name] = &list.Items[i]
		}
	}
	return have, nil
}

func (r *Reconciler) namespace(ctx context.Context, name string) (plan.NamespaceState, error) {
	ns := metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := r.client.Get(ctx, types.NamespacedName{Name: name}, &ns)
	switch {
	case apierrors.IsNotFound(err):
		return plan.NamespaceMissing, nil
	case err != nil:
		return "", fmt.Errorf("reading namespace %s from the cache: %w", name, err)
	case ns.DeletionTimestamp != nil:
		return plan.NamespaceTerminating, nil
	default:
		return plan.NamespaceActive, nil
	}
}

// remote says what the target says. Absent needs evidence whenever a mirror hangs on it.
func (r *Reconciler) remote(ctx context.Context, k Key, l link.Link, local plan.Local) (plan.Remote, error) {
	unknown := plan.Remote{State: plan.Unknown}
	if l.Deleting {
		return unknown, nil
	}
	seen, err := r.targets.Observe(l, k.service())
	if err != nil {
		return unknown, err
	}
	switch {
	case !seen.Synced:
		return unknown, nil
	case seen.Service != nil:
		r.brake.present(l.Name, k.service())
		return plan.Remote{State: plan.Present, Service: seen.Service, Slices: seen.Slices}, nil
	case local.Service == nil && len(local.Slices) == 0:
		return plan.Remote{State: plan.Absent}, nil
	}
	state, err := r.absent(ctx, k, l, seen.SeenDeleted)
	return plan.Remote{State: state}, err
}

// gatewayOf lists the gateway's addresses; none until each of its names was looked up once, for then
// the plan leaves the addresses of existing slices alone (LESSON-3, LESSON-29).
func (r *Reconciler) gatewayOf(l link.Link) []plan.GatewayAddress {
	if l.Gateway == nil {
		return nil
	}
	addresses, resolved := r.gateways.Addresses(l.Name)
	if !resolved {
		return nil
	}
	out := make([]plan.GatewayAddress, 0, len(addresses))
	for _, a := range addresses {
		out = append(out, plan.GatewayAddress{IP: a.IP, Health: healthOf(a.State)})
	}
	return out
}

func healthOf(s probe.State) plan.Health {
	switch s {
	case probe.Alive:
		return plan.HealthAlive
	case probe.Dead:
		return plan.HealthDead
	default:
		return plan.HealthUnknown
	}
}
