package install

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// Kind is a kind of object that an installation may consist of.
type Kind struct {
	schema.GroupVersionKind
	Namespaced bool
}

// Kinds are all kinds that the charts have rendered in any version, in the order in which they are
// applied; deleting goes the other way. A kind must never be taken away, or what an older version
// installed would be forgotten. Kinds that a cluster does not know are none that it holds.
func Kinds() []Kind {
	var all []Kind
	for _, group := range []struct {
		group, version string
		namespaced     bool
		kinds          []string
	}{
		{"", "v1", false, []string{"Namespace"}},
		{"apiextensions.k8s.io", "v1", false, []string{"CustomResourceDefinition"}},
		{"admissionregistration.k8s.io", "v1", false, []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}},
		{"networking.k8s.io", "v1", true, []string{"NetworkPolicy"}},
		{"", "v1", true, []string{"ServiceAccount", "Secret", "ConfigMap"}},
		{"rbac.authorization.k8s.io", "v1", false, []string{"ClusterRole", "ClusterRoleBinding"}},
		{"rbac.authorization.k8s.io", "v1", true, []string{"Role", "RoleBinding"}},
		{"cert-manager.io", "v1", true, []string{"Issuer", "Certificate"}},
		{"policy.linkerd.io", "v1beta3", true, []string{"Server"}},
		{"policy.linkerd.io", "v1alpha1", true, []string{"MeshTLSAuthentication", "NetworkAuthentication", "AuthorizationPolicy"}},
		{"", "v1", true, []string{"Service"}},
		{"policy", "v1", true, []string{"PodDisruptionBudget"}},
		{"apps", "v1", true, []string{"Deployment"}},
		{"autoscaling", "v2", true, []string{"HorizontalPodAutoscaler"}},
		{"monitoring.coreos.com", "v1", true, []string{"PodMonitor", "PrometheusRule"}},
		{v1alpha3.GroupVersion.Group, v1alpha3.GroupVersion.Version, true, []string{"Link"}},
	} {
		for _, kind := range group.kinds {
			gvk := schema.GroupVersionKind{Group: group.group, Version: group.version, Kind: kind}
			all = append(all, Kind{GroupVersionKind: gvk, Namespaced: group.namespaced})
		}
	}
	return all
}

// Order sorts objects as they are applied, the same for the same objects (GIT-4). Kinds that Kinds does not know come
// behind the others, and the record behind everything: an upgrade that broke off must not look like one that is done.
func Order(objects []*unstructured.Unstructured) {
	rank := map[schema.GroupKind]int{}
	for i, kind := range Kinds() {
		rank[kind.GroupKind()] = i - len(Kinds())
	}
	isRecord := func(obj *unstructured.Unstructured) int {
		if obj.GroupVersionKind().GroupKind() == (schema.GroupKind{Kind: "Secret"}) && obj.GetName() == RecordName {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(
			cmp.Compare(isRecord(a), isRecord(b)),
			cmp.Compare(rank[a.GroupVersionKind().GroupKind()], rank[b.GroupVersionKind().GroupKind()]),
			cmp.Compare(a.GetKind(), b.GetKind()),
			cmp.Compare(a.GetNamespace(), b.GetNamespace()),
			cmp.Compare(a.GetName(), b.GetName()),
		)
	})
}
