package observe

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/check"
	"github.com/linkspan/linkspan/test/rights"
)

// What check asks for is what the controller's account is documented to need, and granted by the chart (LESSON-34).
func TestTheControllersRightsAreThoseThatAreGranted(t *testing.T) {
	t.Parallel()
	want := map[string]bool{}
	add := func(rules []rbacv1.PolicyRule, namespace string) {
		for _, rule := range rules {
			for _, verb := range rule.Verbs {
				want[right(verb, rule.APIGroups[0], rule.Resources[0], namespace).String()] = true
			}
		}
	}
	add(rights.Controller().Everywhere, "")
	add(rights.Controller().AtHome, "links")
	have := map[string]bool{}
	for _, r := range controllerNeeds("links") {
		have[r.String()] = true
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("-granted +asked for:\n%s", diff)
	}
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
			"targetRef": map[string]any{"kind": "Server", "name": "gateway"},
			"requiredAuthenticationRefs": []any{
				map[string]any{"kind": "MeshTLSAuthentication", "name": "clients"},
				map[string]any{"kind": "MeshTLSAuthentication", "name": "elsewhere", "namespace": "other"},
				"nonsense",
			},
		},
	}}
	got := references("links", policy)
	want := []check.Reference{{Policy: "p", Kind: "Server", Name: "gateway"}, {Policy: "p", Kind: "MeshTLSAuthentication", Name: "clients"}}
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
