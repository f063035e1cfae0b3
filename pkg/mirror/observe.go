package mirror

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/link/remote"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
	"github.com/linkspan/linkspan/pkg/probe"
)

// errStale means that the local cache has not seen our own last write yet. Its event will wake the key.
var errStale = errors.New("the cache has not caught up with our last write")

// confirmTimeout bounds the question to the target before a mirror is deleted.
const confirmTimeout = 3 * time.Second

// observe reads everything that is known of a key, from caches and memory. Only when a deletion is
// at stake does it ask the target, and not being sure makes the target Unknown.
func (r *Reconciler) observe(ctx context.Context, k Key, l link.Link) (plan.Input, error) {
	in := plan.Input{
		Link: l, Namespace: k.Namespace, Name: k.Name,
		Policy: r.opts.Policy(), Mirrors: r.locals.count(l.Cluster),
	}
	var err error
	if in.Local, err = r.local(ctx, k, l.MirrorName(k.Name)); err != nil {
		return in, err
	}
	in.Gateway = r.gatewayOf(l, in.Local.Slices)
	if in.LocalNamespace, err = r.namespace(ctx, k.Namespace); err != nil {
		return in, err
	}
	if in.Remote, err = r.remote(ctx, k, l, in.Local); err != nil {
		return in, err
	}
	return in, nil
}

// local reads the mirror and its slices, and refuses a view that is older than our own writes.
func (r *Reconciler) local(ctx context.Context, k Key, name string) (plan.Local, error) {
	local := plan.Local{Foreign: r.conflicts.has(k)}
	var svc corev1.Service
	key := types.NamespacedName{Namespace: k.Namespace, Name: name}
	switch err := r.client.Get(ctx, key, &svc); {
	case err == nil:
		local.Service, local.Foreign = &svc, false
	case !apierrors.IsNotFound(err):
		return local, fmt.Errorf("reading service %s from the cache: %w", key, err)
	}
	if r.writes.stale(object{serviceKind, key}, svc.UID, svc.ResourceVersion) {
		return local, errStale
	}
	var list discoveryv1.EndpointSliceList
	if err := r.client.List(ctx, &list, client.InNamespace(k.Namespace), client.MatchingFields{sliceService: name}); err != nil {
		return local, fmt.Errorf("reading the slices of %s from the cache: %w", key, err)
	}
	have := map[string]*discoveryv1.EndpointSlice{}
	for i := range list.Items {
		local.Slices = append(local.Slices, &list.Items[i])
		have[list.Items[i].Name] = &list.Items[i]
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
	return local, nil
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
		return plan.Remote{State: plan.Present, Service: seen.Service, Slices: seen.Slices}, nil
	case local.Service == nil && len(local.Slices) == 0:
		return plan.Remote{State: plan.Absent}, nil
	case !seen.SeenDeleted && r.brake.holds(l, func() (int, int) { return r.missing(l) }):
		return unknown, nil
	}
	gone, err := r.confirmGone(ctx, k, l)
	if err != nil || !gone {
		return unknown, err
	}
	return plan.Remote{State: plan.Absent}, nil
}

// confirmGone asks the target itself, with few questions at a time per Link so that a target that
// answers slowly cannot keep the workers.
func (r *Reconciler) confirmGone(ctx context.Context, k Key, l link.Link) (bool, error) {
	if !r.confirming.enter(l.Name) {
		return false, &Waiting{After: confirmRetry, Reason: v1alpha3.ReasonConfirming, Err: errors.New("other deletions of this Link are being confirmed")}
	}
	defer r.confirming.leave(l.Name)
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	gone, err := r.targets.ConfirmGone(ctx, l, k.service())
	switch {
	case errors.Is(err, remote.ErrNotConnected):
		return false, nil
	case err != nil:
		return false, &Waiting{After: staleRetry, Reason: v1alpha3.ReasonConfirming, Err: err}
	case !gone:
		// The watch trails the target; its next event wakes the key, and the timer is for the case that it came first.
		return false, &Waiting{After: staleRetry, Reason: v1alpha3.ReasonConfirming, Err: errors.New("the target still exports the service")}
	}
	return true, nil
}

// missing counts the mirrors of a Link, and those whose service the target no longer has.
func (r *Reconciler) missing(l link.Link) (missing, total int) {
	exported := map[remote.ServiceKey]struct{}{}
	for _, key := range r.targets.Keys(l) {
		exported[key] = struct{}{}
	}
	local := r.locals.keys(l.Cluster)
	for _, key := range local {
		if _, ok := exported[key]; !ok {
			missing++
		}
	}
	return missing, len(local)
}

// gatewayOf lists the gateway's addresses. While a name of it cannot be resolved, the addresses that a
// mirror has already are kept as Unknown: DNS trouble must not take endpoints away (LESSON-29).
func (r *Reconciler) gatewayOf(l link.Link, local []*discoveryv1.EndpointSlice) []plan.GatewayAddress {
	if l.Gateway == nil {
		return nil
	}
	addresses, resolved := r.gateways.Addresses(l.Name)
	out := make([]plan.GatewayAddress, 0, len(addresses))
	known := map[netip.Addr]struct{}{}
	for _, a := range addresses {
		out = append(out, plan.GatewayAddress{IP: a.IP, Health: healthOf(a.State)})
		known[a.IP] = struct{}{}
	}
	if resolved && len(r.gateways.Problems(l.Name)) == 0 {
		return out
	}
	for _, slice := range local {
		if _, viaGateway := slice.Annotations[v1alpha3.AnnotationRemoteReady]; !viaGateway {
			continue
		}
		for _, e := range slice.Endpoints {
			for _, address := range e.Addresses {
				ip, err := netip.ParseAddr(address)
				if _, have := known[ip]; err == nil && !have {
					out = append(out, plan.GatewayAddress{IP: ip, Health: plan.HealthUnknown})
					known[ip] = struct{}{}
				}
			}
		}
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
