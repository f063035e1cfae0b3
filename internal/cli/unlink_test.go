package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/test/rig"
)

func objectMeta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: link.DefaultNamespace, Name: name}
}

func references(t *testing.T, text string) []string {
	t.Helper()
	var refs []string
	for _, obj := range manifests(t, text) {
		refs = append(refs, obj.GetKind()+" "+obj.GetNamespace()+"/"+obj.GetName())
		if len(obj.Object) != 3 {
			t.Errorf("LINK-13: %s holds more than a reference: %v", obj.GetKind(), obj.Object)
		}
	}
	return refs
}

// LINK-9: unlink prints what to delete. The target of these Links was never there.
func TestUnlink(t *testing.T) {
	west := rig.Shared(t, 1)[0]
	namespace, linkerd := west.Namespace(t), west.Namespace(t)
	credentials := func(ns, name string) *corev1.Secret {
		s := rig.CredentialsSecret(ns, "east", []byte("token: never-shown"))
		s.Name = name
		return s
	}
	east := rig.Link(namespace, "east")
	east.Spec.ClusterCredentialsSecret = "by-hand"
	other := &corev1.Secret{Type: corev1.SecretTypeOpaque}
	other.Namespace, other.Name = namespace, "cluster-credentials-east"
	rig.Create(t, west, east, rig.Link(namespace, "north"), other,
		credentials(namespace, "by-hand"), controlPlaneCopy(linkerd, "east"), credentials(namespace, "cluster-credentials-north"))
	args := []string{"unlink", "--kubeconfig", kubeconfigFile(t, west), "--namespace", namespace, "-L", linkerd}

	got := runMirror(t, append(args, "--cluster-name", "east")...)
	want := []string{"Link " + namespace + "/east", "Secret " + namespace + "/by-hand", "Secret " + linkerd + "/cluster-credentials-east"}
	if got.code != 0 || strings.Contains(got.out+got.err, "never-shown") {
		t.Fatalf("%+v", got)
	}
	refs := references(t, got.out)
	if namespace > linkerd { // Secrets are in order of namespace
		want[1], want[2] = want[2], want[1]
	}
	if diff := cmp.Diff(want, refs); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := runMirror(t, append(args, "--cluster-name", "south")...); got.code == 0 || got.out != "" || !strings.Contains(got.err, "nothing to unlink") {
		t.Errorf("a link that is not there: %+v", got)
	}
}

// controlPlaneCopy is the second Secret, as `mirror link` and Linkerd's command write it.
func controlPlaneCopy(namespace, cluster string) *corev1.Secret {
	s := rig.CredentialsSecret(namespace, cluster, []byte("token: never-shown"))
	s.Labels = map[string]string{v1alpha3.LabelCredentialsCluster: cluster}
	return s
}

// LESSON-27, LINK-9: nothing stays behind. A Link says itself where the copy of its credentials is, so nobody has to repeat -L;
// what has the copy's name only is somebody else's.
func TestUnlinkFindsTheControlPlanesCopy(t *testing.T) {
	west := rig.Shared(t, 1)[0]
	secret := func(kind corev1.SecretType, labelled string) func(string) *corev1.Secret {
		return func(namespace string) *corev1.Secret {
			s := controlPlaneCopy(namespace, "east")
			s.Type = kind
			if s.Labels[v1alpha3.LabelCredentialsCluster] = labelled; labelled == "" {
				s.Labels = nil
			}
			return s
		}
	}
	ours := secret(v1alpha3.SecretTypeRemoteKubeconfig, "east")
	for name, c := range map[string]struct {
		link, records string
		secret        func(namespace string) *corev1.Secret
		found         bool
	}{
		"recorded by the Link":             {"east", "", ours, true},
		"of a Link with a name of its own": {"by-hand", "", ours, true},
		"without the label":                {"east", "", secret(v1alpha3.SecretTypeRemoteKubeconfig, ""), false},
		"labelled for another cluster":     {"east", "", secret(v1alpha3.SecretTypeRemoteKubeconfig, "north"), false},
		"of another type":                  {"east", "", secret(corev1.SecretTypeOpaque, "east"), false},
		"where no namespace is":            {"east", "no-such-namespace", secret(v1alpha3.SecretTypeRemoteKubeconfig, ""), false},
	} {
		t.Run(name, func(t *testing.T) {
			namespace, linkerd := west.Namespace(t), west.Namespace(t)
			obj := rig.Link(namespace, "east")
			obj.Name, obj.Spec.TargetClusterLinkerdNamespace = c.link, linkerd
			if c.records != "" {
				obj.Spec.TargetClusterLinkerdNamespace = c.records
			}
			rig.Create(t, west, obj, c.secret(linkerd))
			args := []string{"unlink", "--kubeconfig", kubeconfigFile(t, west), "--namespace", namespace, "--cluster-name", c.link}
			if !c.found { // nor is it printed where -L leads to it
				args = append(args, "-L", linkerd)
			}
			got := runMirror(t, args...)
			if got.code != 0 || strings.Contains(got.out+got.err, "never-shown") {
				t.Fatalf("%+v", got)
			}
			want := []string{"Link " + namespace + "/" + c.link}
			if c.found {
				want = append(want, "Secret "+linkerd+"/cluster-credentials-east")
			}
			if diff := cmp.Diff(want, references(t, got.out)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Who may read Secrets beside the Link alone still gets what is there, and hears of the copy that may be left.
func TestUnlinkWithoutTheRightToReadTheCopy(t *testing.T) {
	west := rig.Shared(t, 1)[0]
	namespace, linkerd := west.Namespace(t), west.Namespace(t)
	obj := rig.Link(namespace, "east")
	obj.Name, obj.Spec.ClusterCredentialsSecret, obj.Spec.TargetClusterLinkerdNamespace = "by-hand", "credentials", linkerd
	own := controlPlaneCopy(namespace, "east")
	own.Name = "credentials"
	rig.Create(t, west, obj, own, controlPlaneCopy(linkerd, "east"))
	user := rig.User{Name: "unlinks-" + namespace}
	err := west.Grant(t.Context(), user,
		rbacv1.PolicyRule{APIGroups: []string{v1alpha3.GroupVersion.Group}, Resources: []string{"links"}, Verbs: []string{"list"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}, ResourceNames: []string{"credentials", "cluster-credentials-by-hand"}})
	if err != nil {
		t.Fatal(err)
	}
	got := runMirror(t, "unlink", "--kubeconfig", kubeconfigFile(t, west), "--namespace", namespace, "--cluster-name", "by-hand", "--as", user.Name)
	if got.code != 0 || !strings.Contains(got.err, "Secret "+linkerd+"/cluster-credentials-east may not be read") {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff([]string{"Link " + namespace + "/by-hand", "Secret " + namespace + "/credentials"}, references(t, got.out)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestUnlinkOrphans(t *testing.T) {
	west := rig.Shared(t, 1)[0]
	namespace := west.Namespace(t)
	// Names of their own, since orphans are looked for in all namespaces.
	linked, gone := namespace+"-linked", namespace+"-gone"
	mirrorOf := func(cluster string) []client.Object {
		service := rig.Service(namespace, "web-"+cluster,
			rig.WithLabel(v1alpha3.LabelMirroredService, "true"), rig.WithLabel(v1alpha3.LabelClusterName, cluster))
		slice := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4}
		slice.Namespace, slice.Name, slice.Labels = namespace, "web-"+cluster, service.Labels
		return []client.Object{service, slice}
	}
	rig.Create(t, west, rig.Link(namespace, linked), rig.Service(namespace, "local", rig.WithLabel(v1alpha3.LabelClusterName, gone)))
	rig.Create(t, west, append(mirrorOf(linked), mirrorOf(gone)...)...)
	args := []string{"unlink", "--orphans", "--kubeconfig", kubeconfigFile(t, west), "--cluster-name"}

	got := runMirror(t, append(args, gone)...)
	want := []string{"Service " + namespace + "/web-" + gone, "EndpointSlice " + namespace + "/web-" + gone}
	if diff := cmp.Diff(want, references(t, got.out)); got.code != 0 || diff != "" {
		t.Errorf("%s\n-want +got:\n%s", got.err, diff)
	}
	if got := runMirror(t, append(args, linked)...); got.code == 0 || got.out != "" {
		t.Errorf("mirrors of a Link are no orphans: %+v", got)
	}
}

func TestGateways(t *testing.T) {
	west := rig.Shared(t, 1)[0]
	namespace := west.Namespace(t)
	obj := rig.Link(namespace, "east")
	rig.Create(t, west, obj)
	obj.Status = v1alpha3.LinkStatus{
		Services: &v1alpha3.ServiceCounts{Mirrored: 3},
		Gateway:  []v1alpha3.GatewayAddressStatus{{Address: "203.0.113.7", State: "Alive"}},
		Conditions: []metav1.Condition{{
			Type: v1alpha3.ConditionGatewayReady, Status: metav1.ConditionTrue, Reason: v1alpha3.ReasonGatewayAlive, LastTransitionTime: metav1.Now(),
		}},
	}
	if err := west.Client().Status().Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "# TYPE gateway_latency gauge\ngateway_latency{target_cluster_name=\"east\"} 7")
	}))
	defer metrics.Close()
	defer http.DefaultClient.CloseIdleConnections()
	args := []string{"gateways", "--kubeconfig", kubeconfigFile(t, west), "--namespace", namespace}

	got := runMirror(t, append(args, "--metrics-url", metrics.URL)...)
	if diff := cmp.Diff(result{out: "CLUSTER  ALIVE  NUM_SVC  LATENCY\neast     True   3        7ms\n"}, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	got = runMirror(t, append(args, "-o", "wide")...)
	if got.code != 0 || !strings.Contains(got.out, "203.0.113.7  Alive") || !strings.Contains(got.err, "--metrics-url") {
		t.Errorf("without metrics: %+v", got)
	}
	got = runMirror(t, append(args, "-o", "json", "--cluster-name", "north")...)
	if got.code != 0 || got.out != "[]\n" {
		t.Errorf("JSON of nothing: %+v", got)
	}
}

// CLI-3: unavailable without a controller; an unreachable cluster is an error.
func TestVersionOfServer(t *testing.T) {
	west := rig.Shared(t, 1)[0]
	namespace := west.Namespace(t)
	got := runMirror(t, "version", "--kubeconfig", kubeconfigFile(t, west), "--namespace", namespace)
	if diff := cmp.Diff(result{out: "Client version: v0.1.2\nServer version: unavailable\n"}, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	dead := kubeconfigFile(t, west, rig.Server("https://"+west.IP()+":1"))
	if got := runMirror(t, "version", "--kubeconfig", dead); got.code == 0 || got.out != "" {
		t.Errorf("an unreachable cluster: %+v", got)
	}
}
