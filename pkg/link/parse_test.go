package link_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// linkObject is a Link as Linkerd's link-gen writes it, changed by the caller.
func linkObject(change func(*v1alpha3.Link)) *v1alpha3.Link {
	obj := &v1alpha3.Link{
		ObjectMeta: metav1.ObjectMeta{Name: "east", Namespace: "linkerd-multicluster", UID: "u-1", Generation: 3},
		Spec: v1alpha3.LinkSpec{
			TargetClusterName:             "east",
			TargetClusterDomain:           "east.example",
			TargetClusterLinkerdNamespace: "linkerd",
			ClusterCredentialsSecret:      "cluster-credentials-east",
			GatewayAddress:                "203.0.113.7",
			GatewayPort:                   "4143",
			GatewayIdentity:               "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.east.example",
			ProbeSpec:                     v1alpha3.ProbeSpec{Path: "/ready", Port: "4191", Period: "3s"},
			Selector:                      &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha3.LabelExported: "true"}},
			RemoteDiscoverySelector:       &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha3.LabelExported: "remote-discovery"}},
			FederatedServiceSelector:      &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha3.LabelFederated: "member"}},
		},
	}
	if change != nil {
		change(obj)
	}
	return obj
}

var selectorComparer = cmp.Comparer(func(a, b labels.Selector) bool { return a.String() == b.String() })

func mustSelector(t *testing.T, s string) labels.Selector {
	t.Helper()
	selector, err := labels.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return selector
}

func TestParseWhole(t *testing.T) {
	t.Parallel()
	obj := linkObject(func(l *v1alpha3.Link) {
		l.Annotations = map[string]string{
			v1alpha3.AnnotationInsecureSkipTLSVerify: "true",
			v1alpha3.AnnotationReleaseMassDeletion:   "2026-03-01T12:00:00+01:00",
			v1alpha3.AnnotationAcceptTarget:          " uid-2 ",
		}
		l.Spec.ExcludedLabels = []string{"team", "example.com/*"}
	})
	got, err := link.Parse(obj)
	if err != nil {
		t.Fatal(err)
	}
	want := link.Link{
		Name: "east", Namespace: "linkerd-multicluster", UID: "u-1", Generation: 3,
		Cluster: "east", Domain: "east.example", ControlPlaneNamespace: "linkerd",
		CredentialsSecret: "cluster-credentials-east", InsecureSkipTLSVerify: true,
		Gateway: &link.Gateway{
			Addresses: []string{"203.0.113.7"}, Port: 4143,
			Identity: "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.east.example",
			Probe: link.Probe{
				Path: "/ready", Port: 4191, Period: 3 * time.Second, Timeout: 3 * time.Second, FailureThreshold: 3,
			},
		},
		Exported:            mustSelector(t, "mirror.linkerd.io/exported=true"),
		RemoteDiscovery:     mustSelector(t, "mirror.linkerd.io/exported=remote-discovery"),
		ExcludedLabels:      link.NewKeyFilter([]string{"team", "example.com/*"}),
		ExcludedAnnotations: link.NewKeyFilter(nil),
		ReleaseMassDeletion: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC),
		AcceptTarget:        "uid-2",
	}
	if diff := cmp.Diff(want, got, selectorComparer, cmp.AllowUnexported(link.KeyFilter{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseGateway(t *testing.T) {
	t.Parallel()
	probe := link.Probe{Path: "/ready", Port: 4191, Period: 3 * time.Second, Timeout: 3 * time.Second, FailureThreshold: 3}
	gateway := func(change func(*link.Gateway)) *link.Gateway {
		g := &link.Gateway{Addresses: []string{"203.0.113.7"}, Port: 4143, Probe: probe}
		change(g)
		return g
	}
	cases := map[string]struct {
		change func(*v1alpha3.LinkSpec)
		want   *link.Gateway
	}{
		"no address means no gateway, whatever else is there (link-gen --gateway=false)": {
			change: func(s *v1alpha3.LinkSpec) { s.GatewayAddress, s.GatewayPort = "", "" },
		},
		"the zeros of older Linkerd without a gateway": {
			change: func(s *v1alpha3.LinkSpec) {
				s.GatewayAddress, s.GatewayPort = "", "0"
				s.ProbeSpec = v1alpha3.ProbeSpec{Port: "0", Period: "0s", Timeout: "0s", FailureThreshold: "0"}
			},
		},
		"several addresses, trimmed, one spelling, without duplicates, in order": {
			change: func(s *v1alpha3.LinkSpec) {
				s.GatewayAddress = " 203.0.113.7, GW.example.com,2001:DB8::1 ,203.0.113.7,2001:db8:0::1,,::ffff:203.0.113.8"
			},
			want: gateway(func(g *link.Gateway) {
				g.Addresses = []string{"203.0.113.7", "gw.example.com", "2001:db8::1", "203.0.113.8"}
			}),
		},
		"a name with underscores and a final dot": {
			change: func(s *v1alpha3.LinkSpec) { s.GatewayAddress = "gw_1.example.com." },
			want:   gateway(func(g *link.Gateway) { g.Addresses = []string{"gw_1.example.com."} }),
		},
		"bare seconds of old Links": {
			change: func(s *v1alpha3.LinkSpec) { s.ProbeSpec.Period = "5" },
			want:   gateway(func(g *link.Gateway) { g.Probe.Period, g.Probe.Timeout = 5*time.Second, 5*time.Second }),
		},
		"a timeout shorter than the period stays": {
			change: func(s *v1alpha3.LinkSpec) { s.ProbeSpec.Timeout = "500ms" },
			want:   gateway(func(g *link.Gateway) { g.Probe.Timeout = 500 * time.Millisecond }),
		},
		"the shortest period": {
			change: func(s *v1alpha3.LinkSpec) { s.ProbeSpec.Period = "100ms" },
			want: gateway(func(g *link.Gateway) {
				g.Probe.Period, g.Probe.Timeout = 100*time.Millisecond, 100*time.Millisecond
			}),
		},
		"the default timeout is 30s": {
			change: func(s *v1alpha3.LinkSpec) { s.ProbeSpec.Period = "1m" },
			want:   gateway(func(g *link.Gateway) { g.Probe.Period, g.Probe.Timeout = time.Minute, 30*time.Second }),
		},
		"an empty probeSpec has defaults": {
			change: func(s *v1alpha3.LinkSpec) { s.ProbeSpec = v1alpha3.ProbeSpec{} },
			want:   gateway(func(*link.Gateway) {}),
		},
		"a threshold": {
			change: func(s *v1alpha3.LinkSpec) { s.ProbeSpec.FailureThreshold = "7" },
			want:   gateway(func(g *link.Gateway) { g.Probe.FailureThreshold = 7 }),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := link.Parse(linkObject(func(l *v1alpha3.Link) {
				l.Spec.GatewayIdentity = ""
				tc.change(&l.Spec)
			}))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Gateway); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*v1alpha3.Link)
		fields []string
	}{
		"LINK-5: no cluster name": {
			func(l *v1alpha3.Link) { l.Spec.TargetClusterName = "" }, []string{"spec.targetClusterName"},
		},
		"LESSON-19: dotted cluster name": {
			func(l *v1alpha3.Link) { l.Spec.TargetClusterName = "east.example" }, []string{"spec.targetClusterName"},
		},
		"LINK-5: upper case": {
			func(l *v1alpha3.Link) { l.Spec.TargetClusterName = "East" }, []string{"spec.targetClusterName"},
		},
		"LINK-5: 64 characters": {
			func(l *v1alpha3.Link) { l.Spec.TargetClusterName = strings.Repeat("a", 64) }, []string{"spec.targetClusterName"},
		},
		"bad domain": {
			func(l *v1alpha3.Link) { l.Spec.TargetClusterDomain = "-x" }, []string{"spec.targetClusterDomain"},
		},
		"bad namespace": {
			func(l *v1alpha3.Link) { l.Spec.TargetClusterLinkerdNamespace = "a.b" }, []string{"spec.targetClusterLinkerdNamespace"},
		},
		"no secret": {
			func(l *v1alpha3.Link) { l.Spec.ClusterCredentialsSecret = "" }, []string{"spec.clusterCredentialsSecret"},
		},
		"secret in another namespace": {
			func(l *v1alpha3.Link) { l.Spec.ClusterCredentialsSecret = "ns/name" }, []string{"spec.clusterCredentialsSecret"},
		},
		"address with port": {
			func(l *v1alpha3.Link) { l.Spec.GatewayAddress = "203.0.113.7:4143" }, []string{"spec.gatewayAddress"},
		},
		"address with scheme": {
			func(l *v1alpha3.Link) { l.Spec.GatewayAddress = "https://gw" }, []string{"spec.gatewayAddress"},
		},
		"address with zone": {
			func(l *v1alpha3.Link) { l.Spec.GatewayAddress = "fe80::1%eth0" }, []string{"spec.gatewayAddress"},
		},
		"mistyped IP": {
			func(l *v1alpha3.Link) { l.Spec.GatewayAddress = "203.0.113.777" }, []string{"spec.gatewayAddress"},
		},
		"unspecified IP": {
			func(l *v1alpha3.Link) { l.Spec.GatewayAddress = "0.0.0.0" }, []string{"spec.gatewayAddress"},
		},
		"only commas": {
			func(l *v1alpha3.Link) { l.Spec.GatewayAddress = " , " }, []string{"spec.gatewayAddress"},
		},
		"gateway without port": {
			func(l *v1alpha3.Link) { l.Spec.GatewayPort = "" }, []string{"spec.gatewayPort"},
		},
		"port out of range": {
			func(l *v1alpha3.Link) { l.Spec.GatewayPort = "65536" }, []string{"spec.gatewayPort"},
		},
		"port with sign": {
			func(l *v1alpha3.Link) { l.Spec.GatewayPort = "+1" }, []string{"spec.gatewayPort"},
		},
		"identity that no certificate can carry": {
			func(l *v1alpha3.Link) { l.Spec.GatewayIdentity = "not a name" }, []string{"spec.gatewayIdentity"},
		},
		"probe fields, all in the order of the spec": {
			func(l *v1alpha3.Link) {
				l.Spec.ProbeSpec = v1alpha3.ProbeSpec{Path: "ready", Port: "x", Period: "3 s", Timeout: "-1s", FailureThreshold: "0"}
			},
			[]string{
				"spec.probeSpec.path", "spec.probeSpec.port", "spec.probeSpec.period",
				"spec.probeSpec.timeout", "spec.probeSpec.failureThreshold",
			},
		},
		"a zero period with a gateway": {
			func(l *v1alpha3.Link) { l.Spec.ProbeSpec.Period = "0" }, []string{"spec.probeSpec.period"},
		},
		"a period of no time": {
			func(l *v1alpha3.Link) { l.Spec.ProbeSpec.Period = "1ns" }, []string{"spec.probeSpec.period"},
		},
		"a period and a timeout under the minimum": {
			func(l *v1alpha3.Link) { l.Spec.ProbeSpec.Period, l.Spec.ProbeSpec.Timeout = "99ms", "99.9ms" },
			[]string{"spec.probeSpec.period", "spec.probeSpec.timeout"},
		},
		"a period over the maximum": {
			func(l *v1alpha3.Link) { l.Spec.ProbeSpec.Period = "24h1s" }, []string{"spec.probeSpec.period"},
		},
		"a period of years": {
			func(l *v1alpha3.Link) { l.Spec.ProbeSpec.Period = "99999999" }, []string{"spec.probeSpec.period"},
		},
		"LESSON-55: selectors with an unknown operator": {
			func(l *v1alpha3.Link) {
				bad := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}
				l.Spec.Selector, l.Spec.RemoteDiscoverySelector, l.Spec.FederatedServiceSelector = bad, bad, bad
			},
			[]string{"spec.selector", "spec.remoteDiscoverySelector", "spec.federatedServiceSelector"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := linkObject(tc.change)
			got, err := link.Parse(obj)
			if diff := cmp.Diff(tc.fields, fields(err)); diff != "" {
				t.Fatalf("fields of %v: -want +got:\n%s", err, diff)
			}
			var one *link.InvalidError
			if !errors.As(err, &one) || one.Field != tc.fields[0] {
				t.Errorf("errors.As gives %v, want the first, of %s", one, tc.fields[0])
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is not one line", err)
			}
			if got.Name != "east" || got.Exported == nil || !got.Exported.Empty() && got.Exported.Matches(labels.Set{v1alpha3.LabelExported: "true"}) {
				t.Errorf("with an error, the identity must stay and nothing be selected; got %+v", got)
			}
		})
	}
}

// fields are the fields that an error names, in order.
func fields(err error) []string {
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		var all []string
		for _, e := range many.Unwrap() {
			all = append(all, fields(e)...)
		}
		return all
	}
	if one, ok := errors.AsType[*link.InvalidError](err); ok {
		return []string{one.Field}
	}
	return nil
}

// LESSON-55: an absent or empty selector selects nothing.
func TestParseEmptySelectors(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*metav1.LabelSelector{"absent": nil, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := link.Parse(linkObject(func(l *v1alpha3.Link) {
				l.Spec.Selector, l.Spec.RemoteDiscoverySelector, l.Spec.FederatedServiceSelector = s, s, s
			}))
			if err != nil {
				t.Fatal(err)
			}
			if mode := l.Mode(map[string]string{v1alpha3.LabelExported: "true"}); mode != link.ModeNone {
				t.Errorf("mode is %q, want none", mode)
			}
		})
	}
}

// Who dials the gateway is said by two words, and by none where the installation decides.
func TestParseGatewayClients(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]link.Clients{
		"mesh": link.ClientsMesh, " egress ": link.ClientsEgress, "": link.ClientsUnset,
	} {
		l, err := link.Parse(linkObject(func(l *v1alpha3.Link) {
			l.Annotations = map[string]string{v1alpha3.AnnotationGatewayClients: value}
		}))
		if err != nil || l.GatewayClients != want {
			t.Errorf("%q gives %q, %v; want %q", value, l.GatewayClients, err, want)
		}
	}
}

func TestParseInsecureOnlyByTrue(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{"true": true, "True": false, "1": false, "": false} {
		l, err := link.Parse(linkObject(func(l *v1alpha3.Link) {
			l.Annotations = map[string]string{v1alpha3.AnnotationInsecureSkipTLSVerify: value}
		}))
		if err != nil || l.InsecureSkipTLSVerify != want {
			t.Errorf("%q gives %v, %v; want %v", value, l.InsecureSkipTLSVerify, err, want)
		}
	}
}

func TestModeAndNames(t *testing.T) {
	t.Parallel()
	l, err := link.Parse(linkObject(func(l *v1alpha3.Link) {
		l.Spec.Selector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: v1alpha3.LabelExported, Operator: metav1.LabelSelectorOpExists},
		}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]link.Mode{
		"true": link.ModeGateway, "remote-discovery": link.ModeRemoteDiscovery, "other": link.ModeGateway,
	} {
		if got := l.Mode(map[string]string{v1alpha3.LabelExported: value}); got != want {
			t.Errorf("mode of %q is %q, want %q", value, got, want)
		}
	}
	if got := l.MirrorName("web"); got != "web-east" {
		t.Errorf("MIR-4: mirror name %q", got)
	}
	if got := l.RemoteFQName("shop", "web"); got != "web.shop.svc.east.example" {
		t.Errorf("name in the target %q", got)
	}
	if ns, svc, ok := link.SplitFQName("web.shop.svc.east.example"); !ok || ns != "shop" || svc != "web" {
		t.Errorf("SplitFQName gives %q %q %v", ns, svc, ok)
	}
	for _, s := range []string{"", "web", "web-0.web.shop.svc.east.example", "web.shop.pod.x", "..svc.x", "web.shop.svc"} {
		if _, _, ok := link.SplitFQName(s); ok {
			t.Errorf("SplitFQName accepts %q", s)
		}
	}
}

// LESSON-14: a prefix matches at the slash.
func TestKeyFilter(t *testing.T) {
	t.Parallel()
	f := link.NewKeyFilter([]string{"team", "example.com/*", "a.io/b"})
	for key, want := range map[string]bool{
		"team": true, "teams": false, "team/x": false,
		"example.com/a": true, "example.com/": true, "example.com": false, "example.community/a": false, "x.example.com/a": false,
		"a.io/b": true, "a.io/bb": false, "": false,
	} {
		if got := f.Matches(key); got != want {
			t.Errorf("Matches(%q) = %v, want %v", key, got, want)
		}
	}
	if (link.KeyFilter{}).Matches("any") {
		t.Error("the zero filter must match nothing")
	}
}
