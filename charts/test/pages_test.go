package test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// shown gives the objects that a page shows, each of which must have no field that its type does not know. Pieces of files,
// such as values, are left out.
func shown(t *testing.T, page string) []manifest {
	t.Helper()
	files := map[string]string{}
	for i, block := range strings.Split(readFile(t, page), "\n```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "\n```")
		if strings.HasPrefix(text, "apiVersion: ") {
			files[fmt.Sprintf("%s, block %d", page, i+1)] = text
		}
	}
	all := manifests(t, files)
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	for _, m := range all {
		var err error
		switch m.GroupVersionKind().Group {
		case v1alpha3.GroupVersion.Group:
			err = yaml.UnmarshalStrict(m.text, new(v1alpha3.Link))
		case "policy.linkerd.io":
			err = yaml.UnmarshalStrict(m.text, new(linkerdPolicy))
		case "trust.cert-manager.io":
			err = yaml.UnmarshalStrict(m.text, new(trustBundle))
		default:
			_, _, err = strict.Decode(m.text, nil, nil)
		}
		if err != nil {
			t.Errorf("%s, %s %s: %v", page, m.GetKind(), m.GetName(), err)
		}
	}
	return all
}

// shownValues gives the values that a page shows below a line, which the chart must take.
func shownValues(t *testing.T, page, line string) values {
	t.Helper()
	_, text, found := strings.Cut(readFile(t, page), "\n```yaml\n"+line)
	if !found {
		t.Fatalf("%s shows no values below %q", page, line)
	}
	text, _, _ = strings.Cut(line+text, "\n```")
	given := parse(t, text)
	if _, err := render(load(t, mainChart), given, readValues(t, "testdata/proxy.values.yaml")); err != nil {
		t.Errorf("%s, below %q: %v", page, line, err)
	}
	return given
}

// trustBundle has the fields of trust-manager's type that are in use.
type trustBundle struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Sources []struct {
			ConfigMap struct {
				Name string `json:"name"`
				Key  string `json:"key"`
			} `json:"configMap"`
		} `json:"sources"`
		Target struct {
			ConfigMap struct {
				Key string `json:"key"`
			} `json:"configMap"`
			NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector"`
		} `json:"target"`
	} `json:"spec"`
}

// TestPoliciesPodToPod reads the examples of docs/security.md (POL-1, POL-6): a Server that denies, one identity of another
// cluster that is let in, and a NetworkPolicy for pods without proxies.
func TestPoliciesPodToPod(t *testing.T) {
	all := shown(t, "../../docs/security.md")
	server := into[linkerdPolicy](t, find(t, all, "Server", "orders"))
	if server.Spec.AccessPolicy != "deny" || server.Spec.PodSelector == nil || server.Spec.Port == "" {
		t.Errorf("the Server is %+v, want one that denies", server.Spec)
	}
	policy := into[linkerdPolicy](t, find(t, all, "AuthorizationPolicy", "orders"))
	if want := (policyRef{"policy.linkerd.io", "Server", server.Name}); policy.Spec.TargetRef == nil || *policy.Spec.TargetRef != want {
		t.Errorf("the AuthorizationPolicy is of %v, want %v", policy.Spec.TargetRef, want)
	}
	identities := into[linkerdPolicy](t, find(t, all, "MeshTLSAuthentication", "orders-clients"))
	if want := []policyRef{{"policy.linkerd.io", "MeshTLSAuthentication", identities.Name}}; !slices.Equal(policy.Spec.Required, want) {
		t.Errorf("it asks for %v, want %v", policy.Spec.Required, want)
	}
	for _, identity := range identities.Spec.Identities {
		if !linkerdIdentity.MatchString(identity) {
			t.Errorf("Linkerd's type takes no identity %q", identity)
		}
	}
	if server.Namespace == "" || policy.Namespace != server.Namespace || identities.Namespace != server.Namespace {
		t.Error("the three are not in one namespace")
	}
	network := into[networkingv1.NetworkPolicy](t, find(t, all, "NetworkPolicy", "orders"))
	if !slices.Equal(network.Spec.PolicyTypes, []networkingv1.PolicyType{"Ingress"}) || len(network.Spec.Ingress) != 1 {
		t.Fatalf("the NetworkPolicy is %+v, want one rule of who may come", network.Spec)
	}
	rule := network.Spec.Ingress[0]
	got := through(t, "from ", rule.From, rule.Ports)
	if want := []string{"from 10.20.0.0/16 TCP/8080", "from pods:web TCP/8080"}; !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("it lets in %q, want %q", got, want)
	}
}

// TestBundleOfAnchors wants the Bundle of docs/gitops.md to be what the chart's values beside it name (CERT-10, GIT-3).
func TestBundleOfAnchors(t *testing.T) {
	const page = "../../docs/gitops.md"
	all := shown(t, page)
	find(t, all, "Link", "east")
	bundle := into[trustBundle](t, find(t, all, "Bundle", "linkerd-identity-trust-roots"))
	if bundle.Namespace != "" {
		t.Error("a Bundle is in no namespace")
	}
	anchors, _ := at(shownValues(t, page, "# values, in each cluster"), []string{"gateway", "trustAnchors", "configMap"}).(map[string]any)
	if anchors["name"] != bundle.Name || at(readValues(t, mainChart+"/values.yaml"), []string{"gateway", "trustAnchors", "configMap", "key"}) != bundle.Spec.Target.ConfigMap.Key {
		t.Errorf("the values name %v, and the Bundle makes %s with key %s", anchors, bundle.Name, bundle.Spec.Target.ConfigMap.Key)
	}
	if s, err := metav1.LabelSelectorAsSelector(bundle.Spec.Target.NamespaceSelector); err != nil || !s.Matches(labels.Set{"kubernetes.io/metadata.name": namespace}) {
		t.Errorf("its selector %v does not pick our namespace: %v", s, err)
	}
	if len(bundle.Spec.Sources) == 0 {
		t.Error("it has no sources")
	}
}

// TestHealthCheckOfPods wants the example of docs/install.md to ask the port of our pods that says whether they are ready
// (LESSON-53).
func TestHealthCheckOfPods(t *testing.T) {
	given := shownValues(t, "../../docs/install.md", "# values, for an NLB")
	all := rendered(t, readValues(t, "testdata/target.values.yaml"), given)
	annotations := into[corev1.Service](t, find(t, all, "Service", "linkerd-gateway")).Annotations
	const key = "service.beta.kubernetes.io/aws-load-balancer-healthcheck-"
	container := into[appsv1.Deployment](t, find(t, all, "Deployment", "linkspan-ingress")).Spec.Template.Spec.Containers[0]
	for _, port := range container.Ports {
		if port.Name == "mc-probe" && annotations[key+"port"] != strconv.Itoa(int(port.ContainerPort)) {
			t.Errorf("the health check asks port %s, and the ingress answers on %d", annotations[key+"port"], port.ContainerPort)
		}
	}
	if annotations[key+"protocol"] != "http" || annotations[key+"path"] != annotations[v1alpha3.AnnotationProbePath] {
		t.Errorf("the health check is not that of probes: %v", annotations)
	}
}
