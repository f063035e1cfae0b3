package installed

import (
	"context"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/install"
)

const (
	labelPartOf    = "app.kubernetes.io/part-of"
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelVersion   = "app.kubernetes.io/version"
)

// HelmRelease is the release that Helm says an object belongs to, empty for none. Helm may have been told to take over
// what mirror install made; our label stays on it then, and it is not ours any more.
func HelmRelease(obj *metav1.PartialObjectMetadata) string {
	return obj.Annotations["meta.helm.sh/release-name"]
}

// Owned are the installation's objects, in the order in which they can be deleted. They carry all of its labels, Helm
// has not taken them over, and they are where an installation has objects: of the cluster, in the home namespace, or
// Roles and RoleBindings elsewhere whose names begin with it, wherever namespaces were once imported into. The only
// Namespace is home. CustomResourceDefinitions are not among them: they are the cluster's.
func (c Cluster) Owned(ctx context.Context, home string) ([]*metav1.PartialObjectMetadata, error) {
	var found []*metav1.PartialObjectMetadata
	for _, kind := range slices.Backward(install.Kinds()) {
		items, err := c.labelled(ctx, kind, home)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			if HelmRelease(item) == "" && inPlace(item, home) {
				found = append(found, item)
			}
		}
	}
	return found, nil
}

// labelled lists all namespaces for roles alone: few may list the Secrets of all.
func (c Cluster) labelled(ctx context.Context, kind install.Kind, home string) ([]*metav1.PartialObjectMetadata, error) {
	if kind.Kind == "CustomResourceDefinition" {
		return nil, nil
	}
	options := []client.ListOption{client.MatchingLabels{
		v1alpha3.LabelInstallation: home,
		labelManagedBy:             install.ManagedBy,
		labelPartOf:                install.PartOf,
	}}
	if kind.Namespaced && !isRole(kind.GroupKind()) {
		options = append(options, client.InNamespace(home))
	}
	return c.list(ctx, kind, options...)
}

func isRole(kind schema.GroupKind) bool { return kind.Group == "rbac.authorization.k8s.io" }

// inPlace says whether an installation has an object of this kind there, with such a name.
func inPlace(obj *metav1.PartialObjectMetadata, home string) bool {
	switch {
	case obj.Kind == "Namespace":
		return obj.Name == home
	case obj.Namespace == "", obj.Namespace == home:
		return true
	default:
		return strings.HasPrefix(obj.Name, home+":")
	}
}

// Helms are those of the objects that exist and belong to a release of Helm's.
func (c Cluster) Helms(ctx context.Context, objects []*unstructured.Unstructured) ([]*metav1.PartialObjectMetadata, error) {
	var found []*metav1.PartialObjectMetadata
	for _, obj := range objects {
		existing, err := c.get(ctx, obj.GroupVersionKind(), client.ObjectKeyFromObject(obj))
		if err != nil {
			return nil, err
		}
		if existing != nil && HelmRelease(existing) != "" {
			found = append(found, existing)
		}
	}
	return found, nil
}

// key names an object in whatever version of its kind.
type key struct {
	schema.GroupKind
	client.ObjectKey
}

func keyOf(obj client.Object) key {
	return key{GroupKind: obj.GetObjectKind().GroupVersionKind().GroupKind(), ObjectKey: client.ObjectKeyFromObject(obj)}
}

// Superfluous are the owned objects that an installation does not consist of any more. The Namespace
// is never one: it may have been rendered once, and holds everything else.
func Superfluous(owned []*metav1.PartialObjectMetadata, now install.Rendered) []*metav1.PartialObjectMetadata {
	wanted := map[key]bool{}
	for _, obj := range now.Objects {
		wanted[keyOf(obj)] = true
	}
	var found []*metav1.PartialObjectMetadata
	for _, obj := range owned {
		if obj.Kind != "Namespace" && !wanted[keyOf(obj)] {
			found = append(found, obj)
		}
	}
	return found
}

// Unapplied are the objects of an installation that are not owned yet, or are those of another version: kubectl goes
// on after an object that it cannot apply. The types are not looked at, for they are the cluster's.
func Unapplied(owned []*metav1.PartialObjectMetadata, now install.Rendered) []*unstructured.Unstructured {
	versions := map[key]string{}
	for _, obj := range owned {
		versions[keyOf(obj)] = obj.Labels[labelVersion]
	}
	var found []*unstructured.Unstructured
	for _, obj := range now.Objects {
		version, there := versions[keyOf(obj)]
		if obj.GetKind() != "CustomResourceDefinition" && (!there || version != obj.GetLabels()[labelVersion]) {
			found = append(found, obj)
		}
	}
	return found
}
