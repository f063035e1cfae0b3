package controller

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/mirror/egress"
)

// cacheOptions say what of the local cluster is held in memory: mirrors, Links, their Secrets, and
// the names of namespaces. Nothing else is, however large the cluster, but what egressCache says. Of
// mirrors those in imports alone, if there are any.
func cacheOptions(namespace string, imports []string) cache.Options {
	mirrors := cache.ByObject{
		Label: labels.SelectorFromSet(labels.Set{v1alpha3.LabelMirroredService: "true"}),
		// A plan never changes its input, so the copies would be waste.
		UnsafeDisableDeepCopy: new(true),
	}
	for _, name := range imports {
		if mirrors.Namespaces == nil {
			mirrors.Namespaces = map[string]cache.Config{}
		}
		mirrors.Namespaces[name] = cache.Config{}
	}
	own := map[string]cache.Config{namespace: {}}
	namespaces := &metav1.PartialObjectMetadata{}
	namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return cache.Options{
		ReaderFailOnMissingInformer: true, // a forgotten watch is an error, not a hidden one on the whole cluster
		DefaultTransform:            cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Service{}:            mirrors,
			&discoveryv1.EndpointSlice{}: mirrors,
			&v1alpha3.Link{}:             {Namespaces: own},
			&corev1.Secret{}:             {Namespaces: own, Field: fields.OneTermEqualSelector("type", v1alpha3.SecretTypeRemoteKubeconfig)},
			namespaces:                   {Transform: nameOnly},
		},
	}
}

// declare registers every kind that is cached before anything starts: whatever reads first, it finds
// an informer. A read of a kind that is not declared is an error (ReaderFailOnMissingInformer).
func declare(ctx context.Context, c cache.Cache) error {
	namespaces := &metav1.PartialObjectMetadata{}
	namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	for _, obj := range []client.Object{&v1alpha3.Link{}, &corev1.Secret{}, &corev1.Service{}, &discoveryv1.EndpointSlice{}, namespaces} {
		if _, err := c.GetInformer(ctx, obj, cache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("watching %T: %w", obj, err)
		}
	}
	return nil
}

// nameOnly keeps of a namespace whether it is there, whether it is going, and whether a Linkerd control
// plane runs in it.
func nameOnly(obj any) (any, error) {
	if ns, ok := obj.(*metav1.PartialObjectMetadata); ok {
		maps.DeleteFunc(ns.Labels, func(key, _ string) bool { return key != v1alpha3.LabelIsControlPlane })
		ns.Annotations, ns.ManagedFields, ns.OwnerReferences = nil, nil, nil
	}
	return obj, nil
}

// egressCache holds the EndpointSlices of our egress. It is one of its own because a cache has one
// selector for each kind, and the manager's picks the slices of mirrors.
func egressCache(mgr ctrl.Manager, namespace, service string) (cache.Cache, error) {
	selector, err := egress.Selector(service)
	if err != nil {
		return nil, fmt.Errorf("--egress-service: %w", err)
	}
	c, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		ReaderFailOnMissingInformer: true,
		DefaultTransform:            cache.TransformStripManagedFields(),
		DefaultNamespaces:           map[string]cache.Config{namespace: {LabelSelector: selector}},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing to watch the egress: %w", err)
	}
	return c, nil
}
