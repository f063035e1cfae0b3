package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// removeSelector takes off a mirror the selector that somebody gave it. Another's field is out of reach of an apply.
func (r *Reconciler) removeSelector(ctx context.Context, k Key, p plan.Plan, mirror types.NamespacedName) (int, error) {
	if p.Unselect == nil {
		return 0, nil
	}
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": p.Unselect.UID},
		{"op": "remove", "path": "/spec/selector"},
	})
	if err != nil {
		return 0, fmt.Errorf("encoding the removal of a selector: %w", err)
	}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: mirror.Namespace, Name: mirror.Name}}
	if err := r.client.Patch(ctx, svc, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(v1alpha3.FieldManager)); err != nil {
		return 0, fmt.Errorf("removing the selector of service %s: %w", mirror, err)
	}
	r.writes.wrote(mirror, object{serviceKind, mirror}, svc.ResourceVersion)
	r.log.Info("Removed the selector that somebody gave a mirror", "link", k.Link, "mirror", mirror.String())
	return 1, nil
}

// deleteSelected deletes the Endpoints that Kubernetes made by that selector.
func (r *Reconciler) deleteSelected(ctx context.Context, _ Key, p plan.Plan, _ types.NamespacedName) (int, error) {
	if p.DeleteEndpoints == nil {
		return 0, nil
	}
	meta := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: p.DeleteEndpoints.Namespace, Name: p.DeleteEndpoints.Name}}
	meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Endpoints"))
	if err := r.deleteExactly(ctx, meta, *p.DeleteEndpoints); err != nil {
		return 0, err
	}
	return 1, nil
}

// refusesPorts says whether the API server refused an object because of its ports.
func refusesPorts(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(c metav1.StatusCause) bool {
		return strings.HasPrefix(c.Field, "spec.ports")
	})
}

// reclaimPorts replaces the ports of a mirror by ours and applies the rest. Ports are merged by number:
// where somebody renumbered one, theirs would stay, and ours of the same name would be refused for ever.
func (r *Reconciler) reclaimPorts(ctx context.Context, want *corev1ac.ServiceApplyConfiguration, mirror types.NamespacedName) error {
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": want.UID},
		{"op": "replace", "path": "/spec/ports", "value": want.Spec.Ports},
	})
	if err != nil {
		return fmt.Errorf("encoding the ports of service %s: %w", mirror, err)
	}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: mirror.Namespace, Name: mirror.Name}}
	if err := r.client.Patch(ctx, svc, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(v1alpha3.FieldManager)); err != nil {
		return fmt.Errorf("replacing the ports: %w", err)
	}
	// The patch owns the ports as an update does, beside what we apply: a port that the source drops
	// later would stay. Both become one.
	patch, err = csaupgrade.UpgradeManagedFieldsPatch(svc, sets.New(v1alpha3.FieldManager), v1alpha3.FieldManager)
	if err != nil {
		return fmt.Errorf("taking over the ports: %w", err)
	}
	if patch != nil {
		if err := r.client.Patch(ctx, svc, client.RawPatch(types.JSONPatchType, patch)); err != nil {
			return fmt.Errorf("taking over the ports: %w", err)
		}
	}
	return r.client.Apply(ctx, want, client.FieldOwner(v1alpha3.FieldManager), client.ForceOwnership)
}
