package link_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

func FuzzParseKubeconfig(f *testing.F) {
	p := newPair(f, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	certificate := "client-certificate-data: " + b64(p.cert) + ", client-key-data: " + b64(p.key)
	for _, seed := range [][]byte{
		nil, []byte("{"), []byte(marker), []byte("a: &a [*a, *a]"), []byte("users: " + marker),
		kubeconfig(goodServer, goodToken),
		kubeconfig(goodServer+", certificate-authority-data: "+b64(p.cert), goodToken),
		kubeconfig(goodServer+", proxy-url: 'socks5://"+marker+"'", certificate),
		kubeconfig(goodServer+", certificate-authority: /"+marker, goodToken),
		kubeconfig(goodServer, "exec: {command: "+marker+"}, "+goodToken),
		kubeconfig(goodServer, "tokenFile: "+marker),
		kubeconfig(goodServer, "username: a, password: "+marker),
		kubeconfig("server: 'https://"+marker+"@x'", goodToken),
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, insecure bool) {
		c, err := link.ParseKubeconfig(data, link.KubeconfigOptions{AllowInsecure: insecure})
		if err != nil {
			if len(fields(err)) == 0 {
				t.Errorf("error %v names no field", err)
			}
			if strings.Contains(err.Error(), marker) {
				t.Errorf("LINK-13: error shows the data: %v", err)
			}
			return
		}
		config := c.RESTConfig()
		if opensOrRuns(config) {
			t.Errorf("accepted a kubeconfig that opens a file, runs a program or impersonates")
		}
		if config.Insecure && !insecure || !strings.HasPrefix(strings.ToLower(config.Host), "https://") {
			t.Errorf("accepted a server that is not verified: %s", config.Host)
		}
		if _, err := rest.HTTPClientFor(config); err != nil {
			t.Errorf("accepted, but no client can be made of it: %v", err)
		}
		c.Expiry()
		if !c.Equal(c) {
			t.Error("not equal to itself")
		}
	})
}

func opensOrRuns(c *rest.Config) bool {
	return c.ExecProvider != nil || c.AuthProvider != nil || c.BearerTokenFile != "" ||
		c.CAFile != "" || c.CertFile != "" || c.KeyFile != "" || c.Impersonate.UserName != ""
}

// LESSON-14: a filter matches exactly the key, or what begins with the prefix and a slash.
func FuzzKeyFilter(f *testing.F) {
	f.Add("example.com/*", "example.com/a")
	f.Add("example.com/*", "example.community/a")
	f.Add("team", "team")
	f.Add("/*", "/")
	f.Add("a/b/*", "a/b/c")
	f.Add("*", "a")
	f.Fuzz(func(t *testing.T, pattern, key string) {
		want := pattern == key
		if prefix, ok := strings.CutSuffix(pattern, "/*"); ok {
			want = strings.HasPrefix(key, prefix+"/")
		}
		if got := link.NewKeyFilter([]string{pattern}).Matches(key); got != want {
			t.Errorf("filter %q, key %q: got %v, want %v", pattern, key, got, want)
		}
	})
}

func FuzzParseLink(f *testing.F) {
	f.Add("east", "cluster.local", "203.0.113.7,gw.example", "4143", "id.example", "/ready", "4191", "3s", "30s", "3", "a", "b")
	f.Add("east", "", "", "0", "", "", "0", "0s", "0s", "0", "", "")
	f.Add("a.b", "-", "fe80::1%a,:", "x", " ", "x", "-1", "1e9h", "9999999999999", "-", "a b", "\x00")
	f.Fuzz(func(t *testing.T, cluster, domain, address, port, identity, path, probePort, period, timeout, threshold, key, value string) {
		obj := linkObject(func(l *v1alpha3.Link) {
			l.Spec.TargetClusterName, l.Spec.TargetClusterDomain = cluster, domain
			l.Spec.GatewayAddress, l.Spec.GatewayPort, l.Spec.GatewayIdentity = address, port, identity
			l.Spec.ProbeSpec = v1alpha3.ProbeSpec{Path: path, Port: probePort, Period: period, Timeout: timeout, FailureThreshold: threshold}
			l.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
			l.Annotations = map[string]string{v1alpha3.AnnotationReleaseMassDeletion: value, v1alpha3.AnnotationGatewayClients: key}
		})
		l, err := link.Parse(obj)
		if l.Exported == nil || l.RemoteDiscovery == nil {
			t.Fatal("a selector is nil")
		}
		_, again := link.Parse(obj)
		if (err == nil) != (again == nil) || err != nil && err.Error() != again.Error() {
			t.Errorf("two errors for one Link: %v and %v", err, again)
		}
		if err != nil {
			if len(fields(err)) == 0 {
				t.Errorf("error %v names no field", err)
			}
			return
		}
		if g := l.Gateway; g != nil {
			checkGateway(t, g)
		}
	})
}

func checkGateway(t *testing.T, g *link.Gateway) {
	t.Helper()
	p := g.Probe
	if len(g.Addresses) == 0 || g.Port == 0 || p.Port == 0 || p.Period < link.MinProbePeriod || p.Timeout < link.MinProbePeriod ||
		p.Timeout > p.Period || p.FailureThreshold < 1 || !strings.HasPrefix(p.Path, "/") {
		t.Errorf("gateway that cannot work: %+v", *g)
	}
	seen := map[string]bool{}
	for _, a := range g.Addresses {
		if seen[a] || a == "" || strings.ContainsAny(a, " ,%/[]") {
			t.Errorf("address %q of %q", a, g.Addresses)
		}
		seen[a] = true
	}
}
