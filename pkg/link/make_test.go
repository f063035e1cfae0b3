package link_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

var update = flag.Bool("update", false, "write the golden files")

func makeSpec(change func(*link.Spec)) link.Spec {
	spec := link.Spec{
		Cluster: "east", Namespace: "linkerd-multicluster", Domain: "east.example",
		Kubeconfig: link.KubeconfigSpec{
			Server: "https://east.example:6443", User: link.DefaultServiceAccount, Token: "not-a-real-token",
		},
		ControlPlane: &link.ControlPlaneSpec{Namespace: "linkerd", TrustDomain: "root.example"},
		Gateway: &link.GatewaySpec{
			Addresses: []string{"203.0.113.7", "gw.example.com"}, Port: 4143, Identity: "gw.example",
			Probe: v1alpha3.ProbeSpec{Path: "/ready", Port: "4191", Period: "3s"},
		},
		ExcludedLabels: []string{"example.com/*"},
	}
	if change != nil {
		change(&spec)
	}
	return spec
}

// LINK-2: the same input gives the same bytes, and what they are is on file.
func TestMakeGolden(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*link.Spec){
		"linkerd-gateway": nil,
		"no-gateway-no-linkerd": func(s *link.Spec) {
			s.Gateway, s.ControlPlane, s.Domain, s.Namespace, s.ExcludedLabels = nil, nil, "", "", nil
			s.RemoteDiscoverySelector = &metav1.LabelSelector{MatchLabels: map[string]string{"share": "east"}}
			s.FederatedServiceSelector = &metav1.LabelSelector{}
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := render(t, makeSpec(change))
			if again := render(t, makeSpec(change)); !bytes.Equal(got, again) {
				t.Fatal("two runs differ")
			}
			file := filepath.Join("testdata", "make-"+name+".yaml")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func render(t *testing.T, spec link.Spec) []byte {
	t.Helper()
	m, err := link.Make(spec)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, obj := range m.Objects() {
		data, err := yaml.Marshal(obj)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("---\n")
		out.Write(data)
	}
	kubeconfig := m.Credentials.Data[v1alpha3.SecretKeyKubeconfig]
	if _, err := link.ParseKubeconfig(kubeconfig, link.KubeconfigOptions{}); err != nil {
		t.Errorf("what was made is refused: %v", err)
	}
	out.WriteString("# the kubeconfig inside\n---\n")
	out.Write(kubeconfig)
	return out.Bytes()
}

func TestMakeRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*link.Spec)
		want   string
	}{
		"LINK-5: cluster name":  {func(s *link.Spec) { s.Cluster = "a.b" }, "spec.targetClusterName"},
		"no gateway address":    {func(s *link.Spec) { s.Gateway.Addresses = nil }, "no address"},
		"bad gateway address":   {func(s *link.Spec) { s.Gateway.Addresses = []string{"a b"} }, "spec.gatewayAddress"},
		"no port":               {func(s *link.Spec) { s.Gateway.Port = 0 }, "spec.gatewayPort"},
		"server":                {func(s *link.Spec) { s.Kubeconfig.Server = "http://x" }, "clusters[].cluster.server"},
		"no token":              {func(s *link.Spec) { s.Kubeconfig.Token = "" }, "users[].user"},
		"token in two lines":    {func(s *link.Spec) { s.Kubeconfig.Token = "a\n" + marker }, "users[].user.token"},
		"control plane nowhere": {func(s *link.Spec) { s.ControlPlane.Namespace = "" }, "namespace is missing"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := link.Make(makeSpec(tc.change))
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), marker) {
				t.Errorf("error is %v, want one with %q", err, tc.want)
			}
		})
	}
}
