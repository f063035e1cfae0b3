package installed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// Foreign are the objects in a namespace, of any kind, that would go with it although they are neither among those
// that go anyway, nor made from them, nor what every namespace has. What cannot be looked at is among them too.
func (c Cluster) Foreign(ctx context.Context, namespace string, going []*metav1.PartialObjectMetadata) ([]string, error) {
	resources, foreign, err := c.deletable()
	if err != nil {
		return nil, err
	}
	there := contents{}
	for _, resource := range resources {
		list, err := c.objects.Resource(resource.gvr).Namespace(namespace).List(ctx, metav1.ListOptions{})
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("listing %s in namespace %s: %w", resource.gvr.Resource, namespace, ctx.Err())
		case apierrors.IsNotFound(err): // the kind has gone meanwhile
		case err != nil:
			foreign = append(foreign, fmt.Sprintf("maybe objects of kind %s, which cannot be listed (%v)", resource.kind, err))
		default:
			there.add(resource.kind, list.Items)
		}
	}
	return append(there.foreign(going), foreign...), nil
}

// resource is a kind of objects that namespaces hold.
type resource struct {
	gvr  schema.GroupVersionResource
	kind schema.GroupKind
}

// deletable asks the server which kinds can be lost with a namespace; what cannot be deleted is a view of something
// else. Groups whose server does not answer are told in words.
func (c Cluster) deletable() (found []resource, unknown []string, err error) {
	lists, err := discovery.ServerPreferredNamespacedResources(c.kinds)
	if failed := (*discovery.ErrGroupDiscoveryFailed)(nil); errors.As(err, &failed) {
		for group, reason := range failed.Groups {
			unknown = append(unknown, fmt.Sprintf("maybe objects of API group %s, whose server does not answer (%v)", group, reason))
		}
		slices.Sort(unknown)
	} else if err != nil {
		return nil, nil, fmt.Errorf("asking for the kinds of objects that the cluster knows: %w", err)
	}
	for _, list := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "delete"}}, lists) {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the kinds of objects that the cluster knows: %w", err)
		}
		for _, r := range list.APIResources {
			found = append(found, resource{gvr: version.WithResource(r.Name), kind: schema.GroupKind{Group: version.Group, Kind: r.Kind}})
		}
	}
	return found, unknown, nil
}

// contents are what a namespace holds. An object that two API groups serve is in it once.
type contents map[types.UID]item

type item struct {
	kind schema.GroupKind
	metav1.PartialObjectMetadata
}

func (c contents) add(kind schema.GroupKind, objects []metav1.PartialObjectMetadata) {
	for _, obj := range objects {
		c[obj.UID] = item{kind: kind, PartialObjectMetadata: obj}
	}
}

// foreign are those that are not ours, sorted.
func (c contents) foreign(going []*metav1.PartialObjectMetadata) []string {
	ours := map[types.UID]bool{}
	services := map[string]bool{}
	for _, obj := range going {
		ours[obj.UID] = true
		services[obj.Name] = services[obj.Name] || obj.Kind == "Service"
	}
	for id, obj := range c {
		// Endpoints have no owner; their Service is the one of the same name.
		if given(obj) || obj.kind == (schema.GroupKind{Kind: "Endpoints"}) && services[obj.Name] {
			ours[id] = true
		}
	}
	for c.inherit(ours) { // until there is nothing more to learn
	}
	var found []string
	for _, id := range slices.Collect(maps.Keys(c)) {
		if !ours[id] {
			found = append(found, c[id].kind.Kind+" "+c[id].Name)
		}
	}
	slices.Sort(found)
	return found
}

// inherit makes ours what ours alone own, and says whether there was any. An owner that is not there excuses nothing.
func (c contents) inherit(ours map[types.UID]bool) bool {
	learnt := false
	for id, obj := range c {
		others := slices.ContainsFunc(obj.OwnerReferences, func(owner metav1.OwnerReference) bool { return !ours[owner.UID] })
		if !ours[id] && len(obj.OwnerReferences) > 0 && !others {
			ours[id], learnt = true, true
		}
	}
	return learnt
}

// given says whether every namespace has the object, or it only tells of others, or the controller made it for itself, or it
// goes in any case, such as a pod that drains.
func given(obj item) bool {
	if obj.DeletionTimestamp != nil {
		return true
	}
	switch obj.kind {
	case schema.GroupKind{Kind: "ConfigMap"}:
		return obj.Name == "kube-root-ca.crt"
	case schema.GroupKind{Kind: "ServiceAccount"}:
		return obj.Name == "default"
	case lease().GroupKind():
		return obj.Name == v1alpha3.ControllerLease
	case schema.GroupKind{Kind: "Event"}, schema.GroupKind{Group: "events.k8s.io", Kind: "Event"}:
		return true
	default:
		return false
	}
}
