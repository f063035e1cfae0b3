package installed

import (
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/install"
)

const (
	labelPartOf    = "app.kubernetes.io/part-of"
	labelManagedBy = "app.kubernetes.io/managed-by"
)

// Cluster reads what installations have put into a cluster.
type Cluster struct{ client client.Client }

// NewCluster knows all Kinds. It asks the server for no list of kinds.
func NewCluster(config *rest.Config) (Cluster, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return Cluster{}, fmt.Errorf("building the scheme: %w", err)
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range slices.Concat(install.Kinds(), others()) {
		scope := meta.RESTScopeRoot
		if kind.Namespaced {
			scope = meta.RESTScopeNamespace
		}
		mapper.Add(kind.GroupVersionKind, scope)
	}
	c, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return Cluster{}, fmt.Errorf("making a client: %w", err)
	}
	return Cluster{client: c}, nil
}

// others are kinds that are looked at, and never part of an installation.
func others() []install.Kind {
	return []install.Kind{
		{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Pod"), Namespaced: true},
		{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"), Namespaced: true},
		{GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("StatefulSet"), Namespaced: true},
		{GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("DaemonSet"), Namespaced: true},
		{GroupVersionKind: schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}, Namespaced: true},
		{GroupVersionKind: schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "CronJob"}, Namespaced: true},
		lease(),
	}
}

func lease() install.Kind {
	return install.Kind{GroupVersionKind: schema.GroupVersionKind{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease"}, Namespaced: true}
}

// ErrNotInstalled is wrapped when a namespace holds no settings.
var ErrNotInstalled = errors.New("mirror install was not applied here")

// Settings are those of the installation in a namespace.
func (c Cluster) Settings(ctx context.Context, namespace string) (install.Settings, error) {
	secret := &corev1.Secret{}
	err := c.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: install.RecordName}, secret)
	if apierrors.IsNotFound(err) {
		return install.Settings{}, c.notInstalled(ctx, namespace)
	}
	if err != nil {
		return install.Settings{}, fmt.Errorf("reading Secret %s/%s, which holds the settings: %w", namespace, install.RecordName, err)
	}
	return install.ParseRecord(secret)
}

// notInstalled says what to do instead.
func (c Cluster) notInstalled(ctx context.Context, namespace string) error {
	deployments := metadataList(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	err := c.client.List(ctx, deployments, client.InNamespace(namespace), client.MatchingLabels{labelPartOf: "linkspan", labelManagedBy: "Helm"})
	if err != nil {
		return fmt.Errorf("looking for what Helm installed in namespace %s: %w", namespace, err)
	}
	if len(deployments.Items) > 0 {
		release := deployments.Items[0].Labels["app.kubernetes.io/instance"]
		return fmt.Errorf("namespace %s: %w: Helm installed release %s; use helm upgrade and helm uninstall", namespace, ErrNotInstalled, release)
	}
	return fmt.Errorf("namespace %s: %w: there is no Secret %s; see --context and --namespace", namespace, ErrNotInstalled, install.RecordName)
}

// Owned are the objects that carry the installation's label, in the order in which they can be
// deleted, without what Helm has taken over. CustomResourceDefinitions are not among them: they are the cluster's.
func (c Cluster) Owned(ctx context.Context, namespace string) ([]*metav1.PartialObjectMetadata, error) {
	var found []*metav1.PartialObjectMetadata
	for _, kind := range slices.Backward(install.Kinds()) {
		items, err := c.list(ctx, kind, client.MatchingLabels{v1alpha3.LabelInstallation: namespace})
		if err != nil {
			return nil, err
		}
		found = append(found, slices.DeleteFunc(items, func(item *metav1.PartialObjectMetadata) bool { return HelmRelease(item) != "" })...)
	}
	return found, nil
}

// HelmRelease is the release that Helm says an object belongs to, empty for none. Helm may have been told to take over
// what mirror install made; our label stays on it then, and it is not ours any more.
func HelmRelease(obj *metav1.PartialObjectMetadata) string {
	return obj.Annotations["meta.helm.sh/release-name"]
}

// Lease is the controller's Lease, nil when there is none.
func (c Cluster) Lease(ctx context.Context, namespace string) (*metav1.PartialObjectMetadata, error) {
	obj := &metav1.PartialObjectMetadata{}
	obj.SetGroupVersionKind(lease().GroupVersionKind)
	err := c.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha3.ControllerLease}, obj)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Lease %s/%s: %w", namespace, v1alpha3.ControllerLease, err)
	}
	return obj, nil
}

// CRD is the type Link, nil when the cluster does not have it.
func (c Cluster) CRD(ctx context.Context) (*metav1.PartialObjectMetadata, error) {
	name := "links." + v1alpha3.GroupVersion.Group
	obj := &metav1.PartialObjectMetadata{}
	obj.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	err := c.client.Get(ctx, client.ObjectKey{Name: name}, obj)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading CustomResourceDefinition %s: %w", name, err)
	}
	return obj, nil
}

// Links are those of a namespace, or of all when it is empty. None exist where the type does not.
func (c Cluster) Links(ctx context.Context, namespace string) ([]*metav1.PartialObjectMetadata, error) {
	kind := install.Kind{GroupVersionKind: v1alpha3.GroupVersion.WithKind("Link"), Namespaced: true}
	return c.list(ctx, kind, client.InNamespace(namespace))
}

// Foreign are objects in the namespace that are not the installation's, nor the cluster's own, nor made
// from another object: what deleting the namespace would take along. Links' kinds are among them.
func (c Cluster) Foreign(ctx context.Context, namespace string) ([]string, error) {
	var found []string
	for _, kind := range slices.Concat(install.Kinds(), others()) {
		if !kind.Namespaced {
			continue
		}
		items, err := c.list(ctx, kind, client.InNamespace(namespace))
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			ours := item.Labels[v1alpha3.LabelInstallation] == namespace && HelmRelease(item) == ""
			if !ours && len(item.OwnerReferences) == 0 && !given(kind, item.Name) {
				found = append(found, kind.Kind+" "+item.Name)
			}
		}
	}
	return found, nil
}

// given says whether every namespace has the object, or the controller made it for itself.
func given(kind install.Kind, name string) bool {
	switch kind.Kind {
	case "ConfigMap":
		return name == "kube-root-ca.crt"
	case "ServiceAccount":
		return name == "default"
	case "Lease":
		return name == v1alpha3.ControllerLease
	default:
		return false
	}
}

// list finds nothing of a kind that the cluster does not know.
func (c Cluster) list(ctx context.Context, kind install.Kind, options ...client.ListOption) ([]*metav1.PartialObjectMetadata, error) {
	list := metadataList(kind.GroupVersionKind)
	if err := c.client.List(ctx, list, options...); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("listing objects of kind %s, group %q: %w", kind.Kind, kind.Group, err)
	}
	found := make([]*metav1.PartialObjectMetadata, len(list.Items))
	for i := range list.Items {
		list.Items[i].SetGroupVersionKind(kind.GroupVersionKind)
		found[i] = &list.Items[i]
	}
	return found, nil
}

func metadataList(kind schema.GroupVersionKind) *metav1.PartialObjectMetadataList {
	list := &metav1.PartialObjectMetadataList{}
	kind.Kind += "List"
	list.SetGroupVersionKind(kind)
	return list
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
