package mirror

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// applyAdoption makes us the owner of the fields that Linkerd's controller wrote. Without it, what it
// once copied would stay for ever, because server-side apply removes only fields of one's own.
func (r *Reconciler) applyAdoption(ctx context.Context, k Key, p plan.Plan, mirror types.NamespacedName) (int, error) {
	if p.Adopt == nil || p.Service == nil {
		return 0, nil
	}
	var svc corev1.Service
	if err := r.live.Get(ctx, mirror, &svc); err != nil {
		return 0, fmt.Errorf("reading service %s to adopt it: %w", mirror, err)
	}
	if svc.UID != p.Adopt.Mirror.UID {
		return 0, &Waiting{Reason: v1alpha3.ReasonPending, After: staleRetry, Err: fmt.Errorf("service %s was replaced", mirror)}
	}
	writers := formerWriters(svc.ManagedFields)
	if len(writers) == 0 {
		return 0, nil
	}
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(&svc, writers, v1alpha3.FieldManager)
	if err != nil {
		return 0, fmt.Errorf("taking over the fields of service %s: %w", mirror, err)
	}
	if patch == nil {
		return 0, nil
	}
	if err := r.client.Patch(ctx, &svc, client.RawPatch(types.JSONPatchType, patch)); err != nil {
		return 0, fmt.Errorf("taking over the fields of service %s: %w", mirror, err)
	}
	r.log.Info("Adopted a mirror of Linkerd's controller", "link", k.Link, "mirror", mirror.String())
	return 1, nil
}

// formerWriters are the field managers that wrote the mark of a mirror, and so made the mirror.
func formerWriters(managed []metav1.ManagedFieldsEntry) sets.Set[string] {
	out := sets.New[string]()
	for _, e := range managed {
		if e.Manager != v1alpha3.FieldManager && e.Operation == metav1.ManagedFieldsOperationUpdate && e.FieldsV1 != nil &&
			strings.Contains(e.FieldsV1.GetRawString(), `"f:`+v1alpha3.LabelMirroredService+`"`) {
			out.Insert(e.Manager)
		}
	}
	return out
}

// deleteEndpoints removes the Endpoints object of an adopted mirror, once our slices carry the traffic.
func (r *Reconciler) deleteEndpoints(ctx context.Context, _ Key, p plan.Plan, mirror types.NamespacedName) (int, error) {
	if p.Adopt == nil || !p.Adopt.RemoveEndpoints {
		return 0, nil
	}
	meta := metav1.PartialObjectMetadata{}
	meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Endpoints"))
	err := r.live.Get(ctx, mirror, &meta)
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("looking for endpoints %s of Linkerd's controller: %w", mirror, err)
	}
	if meta.Labels[v1alpha3.LabelMirroredService] != "true" {
		return 0, nil // somebody else's: it stays
	}
	if err := r.deleteExactly(ctx, &meta, plan.Ref{Namespace: mirror.Namespace, Name: mirror.Name, UID: meta.UID}); err != nil {
		return 0, err
	}
	return 1, nil
}
