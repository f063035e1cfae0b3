package observe

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/check"
	"github.com/linkspan/linkspan/test/certs"
)

const installedIn = "linkerd-multicluster"

// chart are the objects of a golden file of charts/test, without those of a kind.
func chart(t *testing.T, file, without string) []*unstructured.Unstructured {
	t.Helper()
	data, err := os.ReadFile("../../../charts/test/testdata/" + file + ".golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []*unstructured.Unstructured
	for document := range strings.SplitSeq(string(data), "\n---\n") {
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &obj.Object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if obj.GetKind() != "" && obj.GetKind() != without {
			all = append(all, obj)
		}
	}
	return all
}

// serve answers for objects of one namespace, and for Linkerd's policy types.
func serve(objects []*unstructured.Unstructured) func(*http.Request) (int, any) {
	answers := map[string]any{
		"/apis": metav1.APIGroupList{Groups: []metav1.APIGroup{
			{Name: v1alpha3.GroupVersion.Group, Versions: []metav1.GroupVersionForDiscovery{{Version: v1alpha3.GroupVersion.Version}}},
			{Name: groupPolicy, Versions: []metav1.GroupVersionForDiscovery{{Version: "v1beta3"}, {Version: "v1alpha1"}}},
		}},
		"/apis/policy.linkerd.io/v1beta3":  metav1.APIResourceList{APIResources: []metav1.APIResource{{Name: "servers"}}},
		"/apis/policy.linkerd.io/v1alpha1": metav1.APIResourceList{APIResources: []metav1.APIResource{{Name: "authorizationpolicies"}}},
	}
	list := func(path, version, kind string) *unstructured.UnstructuredList {
		if answers[path] == nil {
			answers[path] = &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": version, "kind": kind + "List"}}
		}
		return answers[path].(*unstructured.UnstructuredList)
	}
	list("/apis/policy.linkerd.io/v1beta3/namespaces/"+installedIn+"/servers", "policy.linkerd.io/v1beta3", "Server")
	list("/apis/policy.linkerd.io/v1alpha1/namespaces/"+installedIn+"/authorizationpolicies", "policy.linkerd.io/v1alpha1", "AuthorizationPolicy")
	for _, obj := range objects {
		resource, _ := meta.UnsafeGuessKindToResource(obj.GroupVersionKind())
		path := "/apis/" + obj.GetAPIVersion()
		if resource.Group == "" {
			path = "/api/v1"
		}
		path += "/namespaces/" + installedIn + "/" + resource.Resource
		answers[path+"/"+obj.GetName()] = obj
		into := list(path, obj.GetAPIVersion(), obj.GetKind())
		into.Items = append(into.Items, *obj)
	}
	return func(r *http.Request) (int, any) {
		if answer := answers[r.URL.Path]; answer != nil {
			return http.StatusOK, answer
		}
		return 0, nil
	}
}

// told is what a check finds, as "<level>: <cause>", and the text of what is well.
func told(report check.Report, id string) []string {
	var all []string
	for _, r := range report {
		switch {
		case r.ID != id:
		case r.Level == check.OK:
			all = append(all, "ok: "+r.Text)
		default:
			all = append(all, [3]string{"", "warning: ", "error: "}[r.Level]+r.Text+": "+r.Cause)
		}
	}
	return all
}

func wantTold(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("told is %q, want %q", got, want)
	}
	for i := range want {
		level, part, _ := strings.Cut(want[i], ": ")
		if !strings.HasPrefix(got[i], level+": ") || !strings.Contains(got[i], part) {
			t.Errorf("told is %q, want %q", got[i], want[i])
		}
	}
}

// LESSON-36: of the gateways that the chart renders, check tells which are open to whoever has a certificate, and which to nobody.
func TestWhomGatewaysOfTheChartLetIn(t *testing.T) {
	t.Parallel()
	anybody := func(objects []*unstructured.Unstructured) {
		for _, obj := range objects {
			if obj.GetName() == "linkspan-allowed-clients" {
				obj.Object["data"] = map[string]any{"identities": "# whoever\na.example, *"}
			}
		}
	}
	nobody := func(objects []*unstructured.Unstructured) {
		for _, obj := range objects {
			if obj.GetName() == "linkspan-allowed-clients" {
				obj.Object["data"] = map[string]any{"identities": "# a.example\n"}
			}
		}
	}
	argument := func(arg string, before func([]*unstructured.Unstructured)) func([]*unstructured.Unstructured) {
		return func(objects []*unstructured.Unstructured) {
			before(objects)
			for _, obj := range objects {
				if obj.GetKind() != "Deployment" || obj.GetName() != "linkspan-ingress" {
					continue
				}
				containers, _, _ := unstructured.NestedSlice(obj.Object, "spec", "template", "spec", "containers")
				container := containers[0].(map[string]any)
				container["args"] = append(container["args"].([]any), arg)
				_ = unstructured.SetNestedSlice(obj.Object, containers, "spec", "template", "spec", "containers")
			}
		}
	}
	for name, c := range map[string]struct {
		file, without string
		change        func([]*unstructured.Unstructured)
		want          []string
	}{
		"named clients":                       {"target", "", nil, []string{"ok: linkspan-ingress"}},
		"whoever":                             {"target", "", anybody, []string{"warning: entry *"}},
		"nobody":                              {"target", "", nobody, []string{"warning: every call is refused"}},
		"nobody in the file, and one in args": {"target", "", argument("--allow-clients=a.example,b.example", nobody), []string{"ok: linkspan-ingress"}},
		"dry run, whatever the list":          {"target", "", argument("--allow-clients-dry-run", nobody), []string{"warning: only logged"}},
		"no dry run":                          {"target", "", argument("--allow-clients-dry-run=false", nobody), []string{"warning: every call is refused"}},
		"Linkerd's proxy, with policies":      {"proxy", "", nil, []string{"ok: linkerd-gateway"}},
		"Linkerd's proxy, open":               {"proxy", "Server", nil, []string{"warning: no Server of Linkerd's policies selects"}},
		"Linkerd's proxy, closed":             {"closed", "", nil, []string{"warning: no AuthorizationPolicy refers to Server linkerd-gateway"}},
		"no gateway":                          {"source", "", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := chart(t, c.file, c.without)
			if c.change != nil {
				c.change(objects)
			}
			server := newAPIServer(t, serve(objects))
			f := server.observer(t, Options{Namespace: installedIn}).Observe(t.Context())
			if f.Policies.Err != nil || f.Deployments.Err != nil {
				t.Fatal(f.Policies.Err, f.Deployments.Err)
			}
			wantTold(t, told(check.Run(check.All(), f), "gateway-clients"), c.want...)
			if n := server.count(""); n > mostRequests {
				t.Errorf("it took %d requests, want at most %d", n, mostRequests)
			}
		})
	}
}

// LESSON-36: without the list the ingress does not start; and what may not be read is told as such.
func TestTheAllowListCannotBeRead(t *testing.T) {
	t.Parallel()
	const path = "/api/v1/namespaces/" + installedIn + "/configmaps/linkspan-allowed-clients"
	for name, c := range map[string]struct {
		answer func() (int, any)
		want   string
	}{
		"missing":   {notFound, "error: there is no ConfigMap linkspan-allowed-clients in namespace linkerd-multicluster"},
		"forbidden": {forbidden, "warning: you may not get configmaps in namespace linkerd-multicluster"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			installed := serve(chart(t, "target", ""))
			server := newAPIServer(t, func(r *http.Request) (int, any) {
				if r.URL.Path == path {
					return c.answer()
				}
				return installed(r)
			})
			f := server.observer(t, Options{Namespace: installedIn}).Observe(t.Context())
			wantTold(t, told(check.Run(check.All(), f), "gateway-clients"), c.want)
		})
	}
}

// CERT-6, CERT-10: where Linkerd runs, so do connections under its trust anchors. Without them nothing of ours is broken.
func TestLinkerdsAnchorsAreJudged(t *testing.T) {
	t.Parallel()
	expired := certs.For(t).Anchor("root", certs.NotBefore(time.Now().Add(-48*time.Hour)), certs.NotAfter(time.Now().Add(-time.Hour)))
	const where = "ConfigMap linkerd-identity-trust-roots in namespace linkerd"
	for name, c := range map[string]struct {
		answer func() (int, any)
		want   []string
	}{
		"well": {func() (int, any) { return rootsOf(certs.For(t).Anchor("root")) }, []string{"ok: " + where}},
		"expired": {func() (int, any) { return rootsOf(expired) },
			[]string{"warning: root expired on", "error: " + where + ", key ca-bundle.crt: none of them is valid today"}},
		"missing":   {notFound, []string{"warning: there is no such ConfigMap"}},
		"forbidden": {forbidden, []string{"warning: you may not get configmaps in namespace linkerd"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPIServer(t, func(r *http.Request) (int, any) {
				switch r.URL.Path {
				case "/api/v1/namespaces":
					return http.StatusOK, corev1.NamespaceList{Items: []corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "linkerd"}}}}
				case "/api/v1/namespaces/linkerd/configmaps/linkerd-identity-trust-roots":
					return c.answer()
				}
				return 0, nil
			})
			f := server.observer(t, Options{Namespace: "links"}).Observe(t.Context())
			wantTold(t, told(check.Run(check.All(), f), "trust-anchors"), c.want...)
			if n := server.count("linkerd-identity-trust-roots"); n > 1 {
				t.Errorf("it took %d requests", n)
			}
		})
	}
}

func rootsOf(anchor *certs.Authority) (int, any) {
	return http.StatusOK, corev1.ConfigMap{Data: map[string]string{"ca-bundle.crt": string(certs.Bundle(anchor))}}
}

// INST-13: where Linkerd runs, an account of remoteAccess.accounts with linkerd gets more than the controller has; few ask
// for it, so it is a warning.
func TestRightsThatLinkerdsAccountsAreGranted(t *testing.T) {
	t.Parallel()
	linkerd := []corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "linkerd"}}}
	linkerds := func(r *authorizationv1.ResourceAttributes) bool {
		return r.Resource == "pods" || r.Resource == "replicasets" || r.Resource == "jobs" || r.Resource == "servers"
	}
	for name, c := range map[string]struct {
		denied func(*authorizationv1.ResourceAttributes) bool
		want   string
		planes []corev1.Namespace
	}{
		"holds what the controller has, without Linkerd": {denied: linkerds, want: "ok: you hold it yourself"},
		"holds what the controller has": {linkerds, "warning: get/list/watch pods in all namespaces, get/list/watch replicasets.apps in all namespaces, " +
			"get/list/watch jobs.batch in all namespaces, get/list/watch servers.policy.linkerd.io in all namespaces", linkerd},
		"holds all of it":   {func(*authorizationv1.ResourceAttributes) bool { return false }, "ok: you hold it yourself", linkerd},
		"holds nothing":     {func(*authorizationv1.ResourceAttributes) bool { return true }, "error: you do not hold get/list/watch namespaces", linkerd},
		"lacks the ingress": {func(r *authorizationv1.ResourceAttributes) bool { return r.Resource == "services" }, "error: services", linkerd},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPIServer(t, func(r *http.Request) (int, any) {
				switch {
				case r.URL.Path == "/api/v1/namespaces":
					return http.StatusOK, corev1.NamespaceList{Items: c.planes}
				case !strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
					return 0, nil
				}
				var review authorizationv1.SelfSubjectAccessReview
				if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
					return http.StatusBadRequest, err.Error()
				}
				a := review.Spec.ResourceAttributes
				review.Status.Allowed = a.Verb != "escalate" && a.Verb != "bind" && !c.denied(a)
				return http.StatusCreated, review
			})
			install := check.Right{Verb: "create", Group: "apps", Resource: "deployments", Namespace: "links"}
			f := server.observer(t, Options{Namespace: "links", Install: []check.Right{install}}).Observe(t.Context())
			wantTold(t, told(check.Run(check.Pre(), f), "pre-escalation"), c.want)
		})
	}
}

// What the chart grants an account with linkerd is asked for, and nothing that it does not grant (LESSON-34).
func TestLinkerdsAccountsAreGrantedWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	granted, asked := map[string]bool{}, map[string]bool{}
	for _, obj := range chart(t, "target", "") {
		var role rbacv1.ClusterRole
		if obj.GetKind() != "ClusterRole" || obj.GetLabels()[labelComponent] != "remote-access" {
			continue
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &role); err != nil {
			t.Fatal(err)
		}
		addRules(granted, role.Rules, "")
	}
	for _, r := range linkerdNeeds() {
		asked[r.String()] = true
	}
	for _, r := range controllerNeeds("links", nil) { // asked for before
		delete(granted, r.String())
	}
	if diff := cmp.Diff(granted, asked); diff != "" {
		t.Errorf("-granted +asked for:\n%s", diff)
	}
}
