package mirror

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	discoveryv1ac "k8s.io/client-go/applyconfigurations/discovery/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// onlyCreate is a resourceVersion that no object ever has. The API server compares the version of an
// applied object with that of an existing one, and not at all when there is none: so applying with
// it creates, and never touches what is there (409 Conflict).
const onlyCreate = "1"

// errTaken means that a name that we wanted to create is in use.
var errTaken = errors.New("the name is taken")

// errFull means that other workers made the last mirrors that the Link may have since we counted.
var errFull = errors.New("the limit of mirrors is reached")

// apply carries out a plan in its order and returns how many writes it made. It stops at the first
// error: whatever was done stays right, and the next pass starts from there.
func (r *Reconciler) apply(ctx context.Context, k Key, p plan.Plan, mirror types.NamespacedName) (writes int, err error) {
	steps := []func(context.Context, Key, plan.Plan, types.NamespacedName) (int, error){
		r.applyNamespace, r.applyAdoption, r.deleteEndpoints, r.removeSelector, r.deleteSelected, r.applyService, r.applySlices, r.deleteSlices, r.deleteService,
	}
	for _, step := range steps {
		n, err := step(ctx, k, p, mirror)
		writes += n
		if err != nil {
			return writes, obstacle(err)
		}
	}
	return writes, nil
}

func (r *Reconciler) applyNamespace(ctx context.Context, _ Key, p plan.Plan, _ types.NamespacedName) (int, error) {
	if p.CreateNamespace == "" {
		return 0, nil
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: p.CreateNamespace, Labels: map[string]string{v1alpha3.LabelCreatedNamespace: "true"},
	}}
	if err := r.client.Create(ctx, ns, client.FieldOwner(v1alpha3.FieldManager)); err != nil && !apierrors.IsAlreadyExists(err) {
		return 0, fmt.Errorf("creating namespace %s: %w", p.CreateNamespace, err)
	}
	return 1, nil
}

func (r *Reconciler) applyService(ctx context.Context, k Key, p plan.Plan, mirror types.NamespacedName) (int, error) {
	if p.Service == nil {
		return 0, nil
	}
	creating := p.Service.UID == nil
	cluster := p.Service.Labels[v1alpha3.LabelClusterName]
	if creating {
		p.Service.WithResourceVersion(onlyCreate)
		if !r.locals.claim(cluster, k.service(), r.opts.MaxMirrors) {
			return 0, errFull
		}
		defer r.locals.unclaim(cluster, k.service())
	}
	err := r.client.Apply(ctx, p.Service, client.FieldOwner(v1alpha3.FieldManager), client.ForceOwnership)
	if !creating && refusesPorts(err) {
		err = r.reclaimPorts(ctx, p.Service, mirror)
	}
	if err != nil {
		if creating && apierrors.IsConflict(err) {
			return 0, r.taken(ctx, k, mirror, err)
		}
		return 0, fmt.Errorf("applying service %s: %w", mirror, err)
	}
	r.writes.wrote(mirror, object{serviceKind, mirror}, ptr.Deref(p.Service.ResourceVersion, ""))
	if creating {
		r.locals.add(cluster, k.service())
	}
	return 1, nil
}

// taken finds out who has the name: a mirror that our cache has not seen yet, or somebody else.
func (r *Reconciler) taken(ctx context.Context, k Key, mirror types.NamespacedName, conflict error) error {
	meta := metav1.PartialObjectMetadata{}
	meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Service"))
	if err := r.live.Get(ctx, mirror, &meta); err != nil {
		return fmt.Errorf("looking at service %s, which is in the way: %w", mirror, err)
	}
	if meta.Labels[v1alpha3.LabelMirroredService] == "true" {
		return &Waiting{Reason: v1alpha3.ReasonPending, After: staleRetry, Err: conflict}
	}
	r.conflicts.add(k)
	return errTaken
}

func (r *Reconciler) applySlices(ctx context.Context, _ Key, p plan.Plan, mirror types.NamespacedName) (int, error) {
	for i, slice := range p.Slices {
		creating := slice.UID == nil
		if creating {
			slice.WithResourceVersion(onlyCreate)
		}
		err := r.client.Apply(ctx, slice, client.FieldOwner(v1alpha3.FieldManager), client.ForceOwnership)
		if creating && apierrors.IsConflict(err) {
			err = r.retakeSlice(ctx, slice, mirror, err)
		}
		if err != nil {
			return i, fmt.Errorf("applying endpoint slice %s/%s: %w", mirror.Namespace, ptr.Deref(slice.Name, ""), err)
		}
		o := object{sliceKind, types.NamespacedName{Namespace: mirror.Namespace, Name: ptr.Deref(slice.Name, "")}}
		r.writes.wrote(mirror, o, ptr.Deref(slice.ResourceVersion, ""))
	}
	return len(p.Slices), nil
}

// retakeSlice puts back a slice of ours that the cache does not show, because somebody took our label
// off it or the cache is behind. One that is not ours is left alone.
func (r *Reconciler) retakeSlice(ctx context.Context, slice *discoveryv1ac.EndpointSliceApplyConfiguration, mirror types.NamespacedName, conflict error) error {
	meta := metav1.PartialObjectMetadata{}
	meta.SetGroupVersionKind(discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"))
	if err := r.live.Get(ctx, types.NamespacedName{Namespace: mirror.Namespace, Name: ptr.Deref(slice.Name, "")}, &meta); err != nil {
		return fmt.Errorf("looking at what is in the way: %w", err)
	}
	key := v1alpha3.AnnotationRemoteServiceFQName
	if meta.Labels[discoveryv1.LabelManagedBy] != v1alpha3.SliceManagedBy || meta.Annotations[key] != slice.Annotations[key] {
		return &Waiting{Reason: v1alpha3.ReasonNameConflict, After: conflictRetry, Err: conflict}
	}
	slice.ResourceVersion = nil
	return r.client.Apply(ctx, slice.WithUID(meta.UID), client.FieldOwner(v1alpha3.FieldManager), client.ForceOwnership)
}

func (r *Reconciler) deleteSlices(ctx context.Context, _ Key, p plan.Plan, mirror types.NamespacedName) (int, error) {
	for i, ref := range p.DeleteSlices {
		slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name}}
		if err := r.deleteExactly(ctx, slice, ref); err != nil {
			return i, err
		}
		r.writes.deleted(mirror, object{sliceKind, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}}, ref.UID)
	}
	return len(p.DeleteSlices), nil
}

func (r *Reconciler) deleteService(ctx context.Context, k Key, p plan.Plan, mirror types.NamespacedName) (int, error) {
	ref := p.DeleteService
	if ref == nil {
		return 0, nil
	}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name}}
	if err := r.deleteExactly(ctx, svc, *ref); err != nil {
		return 0, err
	}
	r.writes.deleted(mirror, object{serviceKind, mirror}, ref.UID)
	r.log.Info("Deleted a mirror", "link", k.Link, "mirror", mirror.String())
	return 1, nil
}

// deleteExactly deletes the object of the plan and no other of its name.
func (r *Reconciler) deleteExactly(ctx context.Context, obj client.Object, ref plan.Ref) error {
	err := r.client.Delete(ctx, obj, client.Preconditions{UID: &ref.UID})
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // gone already, or replaced by an object that is not the planned one
	}
	return fmt.Errorf("deleting %T %s/%s: %w", obj, ref.Namespace, ref.Name, err)
}
