package installed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/install"
)

// Cluster reads what installations have put into a cluster.
type Cluster struct {
	client client.Client
	// kinds and objects are for what is not ours, of whatever kind.
	kinds   discovery.DiscoveryInterface
	objects metadata.Interface
}

// NewCluster knows all Kinds. It asks the server for nothing yet.
func NewCluster(config *rest.Config) (Cluster, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return Cluster{}, fmt.Errorf("building the scheme: %w", err)
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range append(install.Kinds(), lease()) {
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
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return Cluster{}, fmt.Errorf("making a client that asks for kinds: %w", err)
	}
	quiet := rest.CopyConfig(config)
	quiet.WarningHandler = rest.NoWarnings{} // of kinds that are deprecated, which we do not use
	objects, err := metadata.NewForConfig(quiet)
	if err != nil {
		return Cluster{}, fmt.Errorf("making a client for objects of any kind: %w", err)
	}
	return Cluster{client: c, kinds: kinds, objects: objects}, nil
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
	err := c.client.List(ctx, deployments, client.InNamespace(namespace), client.MatchingLabels{labelPartOf: install.PartOf, labelManagedBy: "Helm"})
	if err != nil {
		return fmt.Errorf("looking for what Helm installed in namespace %s: %w", namespace, err)
	}
	if len(deployments.Items) > 0 {
		release := deployments.Items[0].Labels["app.kubernetes.io/instance"]
		return fmt.Errorf("namespace %s: %w: Helm installed release %s; use helm upgrade and helm uninstall", namespace, ErrNotInstalled, release)
	}
	return fmt.Errorf("namespace %s: %w: there is no Secret %s; see --context and --namespace", namespace, ErrNotInstalled, install.RecordName)
}

// Lease is the controller's Lease, nil when there is none.
func (c Cluster) Lease(ctx context.Context, namespace string) (*metav1.PartialObjectMetadata, error) {
	return c.get(ctx, lease().GroupVersionKind, client.ObjectKey{Namespace: namespace, Name: v1alpha3.ControllerLease})
}

// CRD is the type Link, nil when the cluster does not have it.
func (c Cluster) CRD(ctx context.Context) (*metav1.PartialObjectMetadata, error) {
	kind := schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}
	return c.get(ctx, kind, client.ObjectKey{Name: "links." + v1alpha3.GroupVersion.Group})
}

// Elsewhere are the namespaces of other installations: those that keep settings as ours does, and those of Helm's, ours
// too if Helm has installed there. Not everybody may list the Secrets and Deployments of all namespaces: that error
// satisfies apierrors.IsForbidden.
func (c Cluster) Elsewhere(ctx context.Context, namespace string) ([]string, error) {
	records := metadataList(corev1.SchemeGroupVersion.WithKind("Secret"))
	fields := client.MatchingFields{"metadata.name": install.RecordName, "type": string(install.RecordType)}
	if err := c.client.List(ctx, records, fields); err != nil {
		return nil, fmt.Errorf("looking for Secrets %s in all namespaces: %w", install.RecordName, err)
	}
	deployments := metadataList(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	if err := c.client.List(ctx, deployments, client.MatchingLabels{labelPartOf: install.PartOf}); err != nil {
		return nil, fmt.Errorf("looking for Deployments in all namespaces: %w", err)
	}
	var found []string
	for _, obj := range append(records.Items, deployments.Items...) {
		if obj.Namespace != namespace || HelmRelease(&obj) != "" {
			found = append(found, obj.Namespace)
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// Links are those of a namespace, or of all when it is empty. None exist where the type does not.
func (c Cluster) Links(ctx context.Context, namespace string) ([]*metav1.PartialObjectMetadata, error) {
	kind := install.Kind{GroupVersionKind: v1alpha3.GroupVersion.WithKind("Link"), Namespaced: true}
	return c.list(ctx, kind, client.InNamespace(namespace))
}

// get finds no object of a kind that the cluster does not know: nil then.
func (c Cluster) get(ctx context.Context, kind schema.GroupVersionKind, key client.ObjectKey) (*metav1.PartialObjectMetadata, error) {
	obj := &metav1.PartialObjectMetadata{}
	obj.SetGroupVersionKind(kind)
	err := c.client.Get(ctx, key, obj)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", kind.Kind, strings.TrimPrefix(key.String(), "/"), err)
	}
	return obj, nil
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
