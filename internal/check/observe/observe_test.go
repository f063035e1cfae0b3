package observe

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/check"
	"github.com/linkspan/linkspan/test/rights"
)

// What check asks for is what the controller's account is documented to need in each mode, and granted by the chart (LESSON-34).
func TestTheControllersRightsAreThoseThatAreGranted(t *testing.T) {
	t.Parallel()
	may, inEach := rights.Importing()
	creator := rights.Controller()
	creator.Everywhere = append(creator.Everywhere, rights.NamespaceCreator())
	for name, c := range map[string]struct {
		args   []string
		may    rights.Rights
		inEach map[string][]rbacv1.PolicyRule
	}{
		"everywhere":          {[]string{"controller", "--log-level=info"}, rights.Controller(), nil},
		"creating namespaces": {[]string{"controller", "--create-namespaces"}, creator, nil},
		"importing":           {[]string{"controller", "--import-namespaces=shop,pay"}, may, map[string][]rbacv1.PolicyRule{"shop": inEach, "pay": inEach}},
		"importing, as extra arguments": {[]string{"controller", "--import-namespaces", "shop", "--import-namespaces=pay"}, may,
			map[string][]rbacv1.PolicyRule{"shop": inEach, "pay": inEach}},
	} {
		want, have := map[string]bool{}, map[string]bool{}
		addRules(want, c.may.Everywhere, "")
		addRules(want, c.may.AtHome, "links")
		for namespace, rules := range c.inEach {
			addRules(want, rules, namespace)
		}
		for _, r := range controllerNeeds("links", c.args) {
			have[r.String()] = true
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s (-granted +asked for):\n%s", name, diff)
		}
	}
}

func addRules(to map[string]bool, rules []rbacv1.PolicyRule, namespace string) {
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					to[right(verb, group, resource, namespace).String()] = true
				}
			}
		}
	}
}

// Of each controller that the charts render, what is asked for is what their Roles grant.
func TestTheChartsGrantWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../../charts/test/testdata/*.golden.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("there are no rendered charts: %v", err)
	}
	importing := 0
	for _, path := range paths {
		granted, deployment := rendered(t, path)
		if deployment == nil {
			continue
		}
		args := deployment.Spec.Template.Spec.Containers[0].Args
		if len(importNamespaces(args)) > 0 {
			importing++
		}
		for _, r := range controllerNeeds(deployment.Namespace, args) {
			if !granted[r.String()] {
				t.Errorf("%s: check asks whether the controller may %v, which the chart does not grant", filepath.Base(path), r)
			}
		}
	}
	if importing == 0 {
		t.Error("no golden file has a controller with controller.importNamespaces")
	}
}

// rendered are the rights of the controller's account, and its Deployment if there is one.
func rendered(t *testing.T, path string) (map[string]bool, *appsv1.Deployment) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	granted := map[string]bool{}
	var controller *appsv1.Deployment
	for document := range strings.SplitSeq(string(data), "\n---\n") {
		var role struct {
			metav1.TypeMeta
			metav1.ObjectMeta `json:"metadata"`
			Rules             []rbacv1.PolicyRule
		}
		if err := yaml.Unmarshal([]byte(document), &role); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if role.Labels["app.kubernetes.io/component"] != "controller" {
			continue
		}
		addRules(granted, role.Rules, role.Namespace)
		if role.Kind == "Deployment" {
			controller = &appsv1.Deployment{}
			if err := yaml.Unmarshal([]byte(document), controller); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
	}
	return granted, controller
}

// LINK-13: of a Secret only what may be told is kept, however it is broken.
func TestSecretsAreNotKept(t *testing.T) {
	t.Parallel()
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1900000000}`))
	token := "marker." + claims + ".marker"
	kubeconfig := func(server, user string) string {
		return fmt.Sprintf(`{"kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
"clusters":[{"name":"c","cluster":{"server":%q}}],"users":[{"name":"u","user":%s}]}`, server, user)
	}
	o := &Observer{options: Options{LocalHost: func(host string) bool { return host == "localhost" }}}
	good := fmt.Sprintf(`{"token":%q}`, token)
	for name, c := range map[string]struct {
		data  string
		local bool
		want  string // part of the problem; empty means that the expiry is known
	}{
		"good":                 {kubeconfig("https://east.example:6443", good), false, ""},
		"local":                {kubeconfig("https://localhost:6443", good), true, ""},
		"not YAML":             {"token: marker: [", false, "kubeconfig"},
		"a program":            {kubeconfig("https://east.example", `{"exec":{"command":"marker"}}`), false, "exec"},
		"a password elsewhere": {kubeconfig("https://user:marker@east.example", good), false, "server"},
	} {
		secret := &corev1.Secret{Type: v1alpha3.SecretTypeRemoteKubeconfig, Data: map[string][]byte{v1alpha3.SecretKeyKubeconfig: []byte(c.data)}}
		told := o.tell(v1alpha3.Link{}, secret)
		if !told.Found || told.Local != c.local || !strings.Contains(told.Problem, c.want) || (c.want == "") == told.Expires.IsZero() {
			t.Errorf("%s: told is %+v", name, told)
		}
		if strings.Contains(fmt.Sprintf("%+v", told), "marker") {
			t.Errorf("%s: a secret is told", name)
		}
	}
}

func TestAnEndpointThatSaysNothingIsReady(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ready []*bool
		want  bool
	}{
		"none":         {nil, false},
		"not ready":    {[]*bool{new(false)}, false},
		"one of two":   {[]*bool{new(false), new(true)}, true},
		"says nothing": {[]*bool{nil}, true},
	} {
		s := &discoveryv1.EndpointSlice{}
		for _, ready := range c.ready {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Conditions: discoveryv1.EndpointConditions{Ready: ready}})
		}
		if got := hasReady(s); got != c.want {
			t.Errorf("%s: ready is %v", name, got)
		}
	}
}

func TestReferencesOfPolicies(t *testing.T) {
	t.Parallel()
	policy := unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": "p"},
		"spec": map[string]any{
			"targetRef": map[string]any{"group": "policy.linkerd.io", "kind": "Server", "name": "gateway"},
			"requiredAuthenticationRefs": []any{
				map[string]any{"group": "policy.linkerd.io", "kind": "MeshTLSAuthentication", "name": "clients"},
				map[string]any{"group": "policy.linkerd.io", "kind": "MeshTLSAuthentication", "name": "elsewhere", "namespace": "other"},
				map[string]any{"group": "core", "kind": "ServiceAccount", "name": "web"},
				"nonsense",
			},
		},
	}}
	got := references("links", policy)
	want := []check.Reference{
		{Policy: "p", Object: check.Object{Group: groupPolicy, Kind: "Server", Name: "gateway"}},
		{Policy: "p", Object: check.Object{Group: groupPolicy, Kind: "MeshTLSAuthentication", Name: "clients"}},
		{Policy: "p", Object: check.Object{Kind: "ServiceAccount", Name: "web"}},
	}
	if !slices.Equal(got, want) {
		t.Errorf("references are %v, want %v", got, want)
	}
}

func TestWhatAPodMounts(t *testing.T) {
	t.Parallel()
	items := []corev1.KeyToPath{{Key: "ca-bundle.crt", Path: "ca.crt"}}
	pod := corev1.PodSpec{
		Volumes: []corev1.Volume{
			{Name: "trust-anchors", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "anchors"}, Items: items}}},
			{Name: "certificate", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "tls", Items: items}}},
		},
		Containers: []corev1.Container{{Args: []string{"controller", "--probe-identity=linkspan.x"}}},
	}
	if got := sourceOf(volume(pod, volumeAnchors)); got != "ConfigMap anchors, key ca-bundle.crt" {
		t.Errorf("the source is %q", got)
	}
	if got := sourceOf(volume(pod, volumeCertificate)); got != "Secret tls, key ca-bundle.crt" {
		t.Errorf("the source is %q", got)
	}
	if volume(pod, "other") != nil || identity(pod) != "linkspan.x" || identity(corev1.PodSpec{}) != "" {
		t.Error("what a pod mounts and is told to be was read wrongly")
	}
}
