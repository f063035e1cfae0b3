package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/test/rig"
)

// manifests takes a stream of YAML documents apart.
func manifests(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	for doc := range strings.SplitSeq(text, "---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &obj.Object); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		objects = append(objects, obj)
	}
	return objects
}

func apply(t *testing.T, c *rig.Cluster, text string) {
	t.Helper()
	for _, obj := range manifests(t, text) {
		rig.Create(t, c, obj)
	}
}

func kubeconfigFile(t *testing.T, c *rig.Cluster, options ...rig.KubeconfigOption) string {
	t.Helper()
	file, err := c.KubeconfigFile(c.Admin(), options...)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// target is a cluster that is ready to be linked to: an account, a gateway, and Linkerd's settings.
type target struct {
	*rig.Cluster
	kubeconfig string
	token      string
}

func newTarget(t *testing.T) target {
	t.Helper()
	c := rig.New(t, rig.ClusterOptions{Name: "east", Controllers: []string{rig.ServiceAccountTokens}})[0]
	allowed := runMirror(t, "allow", "--create-namespace")
	if allowed.code != 0 {
		t.Fatalf("mirror allow: %+v", allowed)
	}
	apply(t, c, allowed.out)
	gateway := gatewayService(nil)
	status := gateway.Status
	rig.Create(t, c, gateway)
	gateway.Status = status
	gateway.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.7"}, {Hostname: "gw.example.com"}}
	if err := c.Client().Status().Update(t.Context(), gateway); err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{}
	secret.Namespace, secret.Name = link.DefaultNamespace, tokenSecretName(link.DefaultServiceAccount)
	secret = rig.Expect(t, c, secret, func(s *corev1.Secret) error {
		if len(s.Data[corev1.ServiceAccountTokenKey]) == 0 {
			return errors.New("no token yet")
		}
		return nil
	})
	return target{Cluster: c, kubeconfig: kubeconfigFile(t, c), token: string(secret.Data[corev1.ServiceAccountTokenKey])}
}

// mirrorLink runs link and, whatever comes of it, checks what always holds: an error prints nothing
// on standard output (LINK-9), and the token is never on standard error (LINK-13).
func (c target) mirrorLink(t *testing.T, args ...string) result {
	t.Helper()
	args = append([]string{"link", "--cluster-name", "east", "--kubeconfig", c.kubeconfig}, args...)
	got := runMirror(t, args...)
	if got.code != 0 && got.out != "" {
		t.Errorf("LINK-9: a failed link printed:\n%s", got.out)
	}
	if strings.Contains(got.err, c.token) || strings.Contains(got.err, c.token[len(c.token)/2:]) {
		t.Errorf("LINK-13: standard error shows the token:\n%s", got.err)
	}
	return got
}

func TestLink(t *testing.T) {
	east := newTarget(t)
	t.Run("LINK-2 LINK-3 LINK-13: prints a link that works, the same each time", east.testPrints)
	t.Run("LINK-10: the account may do no more than it must", east.testLeastPrivilege)
	t.Run("LINK-6: without a gateway", east.testNoGateway)
	t.Run("LINK-11: with a token that ends", east.testTokenExpiry)
	t.Run("LESSON-49: a kubeconfig with files and several contexts", east.testKubeconfigWithFiles)
	t.Run("refusals", east.testRefusals)
	t.Run("with Linkerd", east.testLinkerd)
}

func (c target) testPrints(t *testing.T) {
	got := c.mirrorLink(t, "--verbose")
	if got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if again := c.mirrorLink(t); again.out != got.out {
		t.Errorf("two runs differ: -first +second:\n%s", cmp.Diff(got.out, again.out))
	}
	for _, want := range []string{"one way", "east", "not encrypted", "GET "} {
		if !strings.Contains(got.err, want) {
			t.Errorf("standard error does not say %q:\n%s", want, got.err)
		}
	}
	objects := manifests(t, got.out)
	var kinds []string
	for _, obj := range objects {
		kinds = append(kinds, obj.GetKind()+" "+obj.GetNamespace()+"/"+obj.GetName())
	}
	want := []string{"Secret linkerd-multicluster/cluster-credentials-east", "Link linkerd-multicluster/east"}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
	// The target is as good a cluster as any to see that an API server takes what was printed.
	apply(t, c.Cluster, got.out)
	made := &v1alpha3.Link{}
	if err := c.Client().Get(t.Context(), client.ObjectKey{Namespace: link.DefaultNamespace, Name: "east"}, made); err != nil {
		t.Fatal(err)
	}
	parsed, err := link.Parse(made)
	if err != nil {
		t.Fatal(err)
	}
	gateway := &link.Gateway{
		Addresses: []string{"203.0.113.7", "gw.example.com"}, Port: 4143, Identity: "gw.example",
		Probe: link.Probe{Path: "/ready", Port: 4191, Period: 3 * time.Second, Timeout: 3 * time.Second, FailureThreshold: 3},
	}
	if diff := cmp.Diff(gateway, parsed.Gateway); diff != "" {
		t.Errorf("gateway: -want +got:\n%s", diff)
	}
}

// credentials are those that a run printed, read from nothing but its output.
func credentials(t *testing.T, out string) link.Credentials {
	t.Helper()
	var secret corev1.Secret
	if err := yaml.Unmarshal([]byte(strings.Split(out, "---\n")[1]), &secret); err != nil {
		t.Fatal(err)
	}
	if secret.Type != v1alpha3.SecretTypeRemoteKubeconfig {
		t.Errorf("type %q", secret.Type)
	}
	parsed, err := link.ParseKubeconfig(secret.Data[v1alpha3.SecretKeyKubeconfig], link.KubeconfigOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func (c target) testLeastPrivilege(t *testing.T) {
	remote, err := newClient(credentials(t, c.mirrorLink(t).out).RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for name, try := range map[string]func() error{
		"list services":   func() error { return remote.List(ctx, &corev1.ServiceList{}) },
		"list slices":     func() error { return remote.List(ctx, &discoveryv1.EndpointSliceList{}) },
		"get kube-system": func() error { return remote.Get(ctx, client.ObjectKey{Name: "kube-system"}, &corev1.Namespace{}) },
	} {
		if err := try(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, try := range map[string]func() error{
		"list secrets":    func() error { return remote.List(ctx, &corev1.SecretList{}) },
		"list pods":       func() error { return remote.List(ctx, &corev1.PodList{}) },
		"list namespaces": func() error { return remote.List(ctx, &corev1.NamespaceList{}) },
		"get default":     func() error { return remote.Get(ctx, client.ObjectKey{Name: "default"}, &corev1.Namespace{}) },
		"create service":  func() error { return remote.Create(ctx, rig.Service("default", "x")) },
	} {
		if err := try(); !apierrors.IsForbidden(err) {
			t.Errorf("%s must be forbidden, got %v", name, err)
		}
	}
}

func (c target) testNoGateway(t *testing.T) {
	for _, args := range [][]string{{"--gateway", "false"}, {"--gateway=false"}} {
		got := c.mirrorLink(t, args...)
		if got.code != 0 || strings.Contains(got.out, "gatewayAddress") || !strings.Contains(got.err, "no gateway") {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

func (c target) testTokenExpiry(t *testing.T) {
	before := time.Now()
	got := c.mirrorLink(t, "--token-expiry", "1h")
	if got.code != 0 {
		t.Fatalf("%+v", got)
	}
	end, ok := credentials(t, got.out).Expiry()
	if life := end.Sub(before); !ok || life < 59*time.Minute || life > 62*time.Minute {
		t.Errorf("the token ends at %v (%v), want in an hour", end, ok)
	}
}

func (c target) testKubeconfigWithFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), c.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := c.Kubeconfig(c.Admin())
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.Load(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range config.Clusters {
		cluster.CertificateAuthorityData, cluster.CertificateAuthority = nil, "ca.crt" // relative to the file
	}
	config.Clusters["other"] = &clientcmdapi.Cluster{Server: "https://127.0.0.1:1"}
	config.Contexts["other"] = &clientcmdapi.Context{Cluster: "other"}
	config.CurrentContext = "other"
	file := filepath.Join(dir, "config")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	got := c.mirrorLink(t, "--kubeconfig", file, "--context", c.Name())
	if plain := c.mirrorLink(t); got.code != 0 || got.out != plain.out {
		t.Errorf("a CA in a file must give the same link as one inlined: %+v", got)
	}
}

func (c target) testRefusals(t *testing.T) {
	stranger := rig.Shared(t, 1)[0]
	rig.Create(t, c.Cluster, &corev1.ServiceAccount{ObjectMeta: objectMeta("bare")})
	cases := map[string]struct {
		args []string
		want string
	}{
		"no account":                {[]string{"--service-account-name", "nobody"}, "mirror allow"},
		"no such account to ask":    {[]string{"--service-account-name", "nobody", "--token-expiry", "1h"}, "mirror allow"},
		"account without rights":    {[]string{"--service-account-name", "bare", "--token-expiry", "1h"}, "mirror allow"},
		"no gateway":                {[]string{"--gateway-name", "none"}, "--gateway=false"},
		"selector":                  {[]string{"--selector", "a in"}, "--selector"},
		"gateway address":           {[]string{"--gateway-addresses", "gw:4143"}, "spec.gatewayAddress"},
		"LINK-7: loopback":          {[]string{"--kubeconfig", kubeconfigFile(t, c.Cluster, rig.Server(c.LoopbackURL()))}, "--api-server-address"},
		"LINK-7: another CA":        {[]string{"--api-server-address", stranger.URL()}, "does not verify"},
		"LINK-7: wrong name":        {[]string{"--api-server-address", strings.Replace(c.URL(), c.IP(), "198.51.100.77", 1)}, "does not verify"},
		"LINK-7: nobody there":      {[]string{"--api-server-address", "https://" + c.IP() + ":1"}, "--api-server-address"},
		"override that is no URL":   {[]string{"--api-server-address", c.IP()}, "--api-server-address"},
		"context that is not there": {[]string{"--context", "west"}, "west"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := c.mirrorLink(t, tc.args...)
			if got.code == 0 || !strings.Contains(got.err, tc.want) {
				t.Errorf("got %+v; want an error with %q", got, tc.want)
			}
		})
	}
	t.Run("LINK-7: loopback on purpose", func(t *testing.T) {
		got := c.mirrorLink(t, "--api-server-address", c.LoopbackURL())
		if got.code != 0 || !strings.Contains(got.err, "another machine elsewhere") {
			t.Errorf("%+v", got)
		}
	})
}

func (c target) testLinkerd(t *testing.T) {
	c.NamespaceNamed(t, "linkerd")
	config := &corev1.ConfigMap{Data: map[string]string{"values": "identityTrustDomain: root.example\nclusterDomain: east.example\n"}}
	config.Namespace, config.Name = "linkerd", "linkerd-config"
	rig.Create(t, c.Cluster, config)
	got := c.mirrorLink(t)
	objects := manifests(t, got.out)
	if got.code != 0 || len(objects) != 3 {
		t.Fatalf("%+v", got)
	}
	second := objects[1]
	if second.GetNamespace() != "linkerd" || second.GetLabels()[v1alpha3.LabelCredentialsCluster] != "east" ||
		second.GetAnnotations()[v1alpha3.AnnotationTrustDomain] != "root.example" ||
		second.GetAnnotations()[v1alpha3.AnnotationClusterDomain] != "east.example" {
		t.Errorf("second Secret is %v", second.Object["metadata"])
	}
	domain, _, err := unstructured.NestedString(objects[2].Object, "spec", "targetClusterDomain")
	if err != nil || domain != "east.example" {
		t.Errorf("domain %q (%v)", domain, err)
	}
	if strings.Contains(got.err, "not encrypted") {
		t.Errorf("with Linkerd, pod-to-pod traffic is encrypted:\n%s", got.err)
	}
}

// A command that is interrupted prints nothing and fails.
func TestLinkInterrupted(t *testing.T) {
	c := rig.Shared(t, 1)[0]
	file := kubeconfigFile(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs strings.Builder
	code := Main(ctx, Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, full("v0"), []string{"link", "--cluster-name", "east", "--kubeconfig", file})
	if code == 0 || out.Len() > 0 {
		t.Errorf("code %d, output %q", code, out.String())
	}
}
