package observe

import (
	"context"
	"strings"
	"unicode"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

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
			if kind == "Server" {
				found.Servers = append(found.Servers, policyServer(item))
			}
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

// policyServer selects nothing where that cannot be read.
func policyServer(item unstructured.Unstructured) check.PolicyServer {
	var s struct {
		Spec struct {
			AccessPolicy string                `json:"accessPolicy"`
			PodSelector  *metav1.LabelSelector `json:"podSelector"`
			Port         intstr.IntOrString    `json:"port"`
		} `json:"spec"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &s); err != nil {
		return check.PolicyServer{Name: item.GetName()}
	}
	return check.PolicyServer{Name: item.GetName(), Pods: s.Spec.PodSelector, Port: s.Spec.Port.String(), AccessPolicy: s.Spec.AccessPolicy}
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

// Names of the ingress's allow-list in the chart.
const (
	volumeClients = "allowed-clients"
	keyClients    = "identities"
)

func (o *Observer) allowLists(ctx context.Context, namespace string, deployments []appsv1.Deployment) []check.AllowList {
	var all []check.AllowList
	for _, d := range deployments {
		pod := d.Spec.Template.Spec
		v := volume(pod, volumeClients)
		if v == nil || v.ConfigMap == nil {
			continue
		}
		args, text := arguments(pod), o.configMapKey(ctx, namespace, v.ConfigMap.Name, keyClients)
		entries := append(entriesOf(string(text.Value)), valuesOf(args, "--allow-clients")...)
		all = append(all, check.AllowList{
			Workload: d.Name, ConfigMap: v.ConfigMap.Name, DryRun: isOn(args, "--allow-clients-dry-run"),
			Entries: read(entries, text.Err, text.Right),
		})
	}
	return all
}

// entriesOf reads the list as the ingress does: what follows a # is a comment, and commas separate as well.
func entriesOf(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		all = append(all, strings.FieldsFunc(line, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })...)
	}
	return all
}
