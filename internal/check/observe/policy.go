package observe

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/linkspan/linkspan/internal/check"
)

// policyKinds are what policies refer to, by resource.
func policyKinds() map[string]string {
	return map[string]string{
		"servers": "Server", "httproutes": "HTTPRoute", "meshtlsauthentications": "MeshTLSAuthentication", "networkauthentications": "NetworkAuthentication",
	}
}

func (o *Observer) policies(ctx context.Context, namespace string, t apiTypes) check.Read[check.Policies] {
	needs := right("list", groupPolicy, "authorizationpolicies", namespace)
	if len(t.policy) == 0 {
		return read(check.Policies{}, t.err, needs)
	}
	served, err := o.served(ctx, groupPolicy, t.policy)
	if err != nil {
		return read(check.Policies{}, err, needs)
	}
	found := check.Policies{Installed: true, Objects: map[check.Object]bool{{Kind: "Namespace", Name: namespace}: true}}
	for resource, kind := range policyKinds() {
		items, err := o.all(ctx, served, resource, namespace)
		if err != nil {
			return read(found, err, right("list", groupPolicy, resource, namespace))
		}
		for _, item := range items {
			found.Objects[check.Object{Group: groupPolicy, Kind: kind, Name: item.GetName()}] = true
		}
	}
	accounts, err := o.kube.CoreV1().ServiceAccounts(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return read(found, err, right("list", "", "serviceaccounts", namespace))
	}
	for _, account := range accounts.Items {
		found.Objects[check.Object{Kind: "ServiceAccount", Name: account.Name}] = true
	}
	policies, err := o.all(ctx, served, needs.Resource, namespace)
	for _, item := range policies {
		found.References = append(found.References, references(namespace, item)...)
	}
	return read(found, err, needs)
}

// all lists a resource, of which there is nothing where it is not served.
func (o *Observer) all(ctx context.Context, served map[string]schema.GroupVersionResource, resource, namespace string) ([]unstructured.Unstructured, error) {
	gvr, ok := served[resource]
	if !ok {
		return nil, nil
	}
	list, err := o.dynamic.Resource(gvr).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// references are those into the policy's own namespace.
func references(namespace string, policy unstructured.Unstructured) []check.Reference {
	target, _, _ := unstructured.NestedMap(policy.Object, "spec", "targetRef")
	required, _, _ := unstructured.NestedSlice(policy.Object, "spec", "requiredAuthenticationRefs")
	var all []check.Reference
	for _, one := range append([]any{target}, required...) {
		ref, ok := one.(map[string]any)
		if !ok || len(ref) == 0 {
			continue
		}
		field := func(name string) string {
			value, _, _ := unstructured.NestedString(ref, name) // of another type it is none
			return value
		}
		group, elsewhere := field("group"), field("namespace")
		if group == "core" { // which Linkerd takes as well
			group = ""
		}
		if elsewhere != "" && elsewhere != namespace {
			continue
		}
		all = append(all, check.Reference{Policy: policy.GetName(), Object: check.Object{Group: group, Kind: field("kind"), Name: field("name")}})
	}
	return all
}
