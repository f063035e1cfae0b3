package plan_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// east is a Link with a gateway.
func east() link.Link {
	l := (&source{}).input().Link
	l.Gateway = &link.Gateway{Addresses: []string{"192.0.2.1"}, Port: 4143, Identity: "gateway.east"}
	return l
}

// exported is shop/web on the Link east, with one ready endpoint, and its mirror as made from nothing.
func exported(t testing.TB, mode string, endpoints int) (plan.Input, *cluster) {
	t.Helper()
	in := plan.Input{
		Link: east(), Namespace: "shop", Name: "web", LocalNamespace: plan.NamespaceActive,
		Gateway: []plan.GatewayAddress{{IP: netip.MustParseAddr("192.0.2.1"), Health: plan.HealthAlive}},
		Remote: plan.Remote{State: plan.Present, Service: &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{
				Name: "web", Namespace: "shop", ResourceVersion: "1",
				Labels:      map[string]string{v1alpha3.LabelExported: mode, "app": "web"},
				Annotations: map[string]string{"note": "a"},
			},
			Spec: corev1.ServiceSpec{
				Ports:               []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, AppProtocol: new("http")}},
				SessionAffinity:     corev1.ServiceAffinityClientIP,
				TrafficDistribution: new(corev1.ServiceTrafficDistributionPreferClose),
			},
		}},
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "web-abcde", Namespace: "shop"}, AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Name: new("http"), Protocol: new(corev1.ProtocolTCP), Port: new(int32(8080))}},
	}
	for i := range endpoints {
		slice.Endpoints = append(slice.Endpoints, endpointAt(i))
	}
	in.Remote.Slices = []*discoveryv1.EndpointSlice{slice}
	c := newCluster(plan.Local{})
	if err := c.settle(in, 1); err != nil {
		t.Fatal(err)
	}
	in.Local = c.local()
	return in, c
}

func endpointAt(i int) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{
		Addresses:  []string{fmt.Sprintf("198.51.%d.%d", i/256, i%256)},
		Conditions: discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true), Terminating: new(false)},
		Hostname:   new("web-0"), Zone: new("a"),
	}
}

// TestOwned holds the one decision that everything destructive hangs on (MIR-4, LESSON-8, LESSON-19).
func TestOwned(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*corev1.Service)
		want   bool
	}{
		"a mirror of ours":                     {func(*corev1.Service) {}, true},
		"made before names were written":       {func(s *corev1.Service) { s.Annotations = nil }, true},
		"of another domain since":              {fqName("web.shop.svc.other.domain"), true},
		"without labels":                       {func(s *corev1.Service) { s.Labels = nil }, false},
		"label with another value":             {label(v1alpha3.LabelMirroredService, "false"), false},
		"of another cluster":                   {label(v1alpha3.LabelClusterName, "b-east"), false},
		"of another service":                   {fqName("api.shop.svc.cluster.local"), false},
		"of another namespace":                 {fqName("web.store.svc.cluster.local"), false},
		"of a pod":                             {fqName("web-0.web.shop.svc.cluster.local"), false},
		"with a name that is none":             {fqName("web"), false},
		"for a pod of a headless mirror":       {label(v1alpha3.LabelHeadlessMirrorName, "web-east"), false},
		"a headless mirror":                    {func(s *corev1.Service) { s.Spec.ClusterIP = corev1.ClusterIPNone }, false},
		"a federated service":                  {annotation(v1alpha3.AnnotationRemoteDiscovery, "web@east"), false},
		"a federated service, local part only": {annotation(v1alpha3.AnnotationLocalDiscovery, "web"), false},
	} {
		t.Run(name, func(t *testing.T) {
			_, c := exported(t, "true", 1)
			tc.change(c.service)
			if got := plan.Owned(c.service, east(), "shop", "web"); got != tc.want {
				t.Errorf("Owned = %t, want %t", got, tc.want)
			}
		})
	}
}

func label(key, value string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Labels[key] = value }
}

func annotation(key, value string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Annotations[key] = value }
}

func fqName(name string) func(*corev1.Service) {
	return annotation(v1alpha3.AnnotationRemoteServiceFQName, name)
}

// TestCopied holds the default deny list (LESSON-14) and what must get through (MIR-9, MIR-10).
func TestCopied(t *testing.T) {
	copied := []string{
		"app", "app.kubernetes.io/name", "app.kubernetes.io/version", "config.linkerd.io/opaque-ports",
		"balancer.linkerd.io/failure-accrual", "linkerd.io/inject", "example.com/team", "nothelm.sh/chart",
		"notlinkspan.io/x", "mirror.linkerd.io.example.com/x", "argoproj.io.example.com/x",
	}
	kept := []string{
		"kubectl.kubernetes.io/last-applied-configuration", "applyset.kubernetes.io/part-of",
		"argocd.argoproj.io/tracking-id", "argocd.argoproj.io/sync-wave", "argo-rollouts.argoproj.io/managed-by-rollouts",
		"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart", "meta.helm.sh/release-name",
		"kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name", "kapp.k14s.io/identity",
		"external-dns.alpha.kubernetes.io/hostname", "service.kubernetes.io/topology-mode",
		"service.kubernetes.io/topology-aware-hints", "service.beta.kubernetes.io/aws-load-balancer-type",
		"cloud.google.com/neg", "networking.gke.io/load-balancer-type", "metallb.io/address-pool",
		"metallb.universe.tf/address-pool", "loadbalancer.openstack.org/class", "alb.ingress.kubernetes.io/group",
		"prometheus.io/scrape", "endpoints.kubernetes.io/last-change-trigger-time", "endpointslice.kubernetes.io/managed-by",
		"field.cattle.io/publicEndpoints", "objectset.rio.cattle.io/hash", "service.cilium.io/global",
		"tailscale.com/expose", "linkerd.io/control-plane-ns", "linkerd.io/extension",
		v1alpha3.LabelExported, v1alpha3.LabelMirroredService, v1alpha3.LabelRemoteDiscovery,
		v1alpha3.AnnotationAppliedHash, "failover.linkspan.io/x",
	}
	for _, key := range copied {
		if !plan.Copied(key) {
			t.Errorf("%s is kept back", key)
		}
	}
	for _, key := range kept {
		if plan.Copied(key) {
			t.Errorf("%s is copied", key)
		}
	}
}

// TestMetadataLimits: what is beyond a limit is left out, the same each time, and said.
func TestMetadataLimits(t *testing.T) {
	in, _ := exported(t, "true", 1)
	svc := in.Remote.Service
	for i := range plan.MaxLabels + 10 {
		svc.Labels[fmt.Sprintf("many-%03d", i)] = "x"
	}
	svc.Annotations["a-long"] = strings.Repeat("x", plan.MaxAnnotationValue+1)
	svc.Annotations["no-text"] = "\xff"
	for i := range 5 {
		svc.Annotations[fmt.Sprintf("big-%d", i)] = strings.Repeat("x", plan.MaxAnnotationValue)
	}
	p := plan.Compute(in)
	if p.Service == nil {
		t.Fatal("no Service applied")
	}
	copied := 0
	for key := range p.Service.Labels {
		if plan.Copied(key) {
			copied++
		}
	}
	if copied != plan.MaxLabels {
		t.Errorf("%d labels copied, want %d", copied, plan.MaxLabels)
	}
	size := 0
	for key, value := range p.Service.Annotations {
		size += len(key) + len(value)
	}
	if limit := plan.MaxAnnotations + 1<<10; size > limit {
		t.Errorf("%d bytes of annotations, want at most %d", size, limit)
	}
	for _, key := range []string{"a-long", "no-text", "big-4"} {
		if _, ok := p.Service.Annotations[key]; ok {
			t.Errorf("annotation %s was copied", key)
		}
	}
	if _, ok := p.Service.Annotations["big-0"]; !ok {
		t.Error("annotation big-0, within the limits, was not copied")
	}
	if len(p.Events) != 1 || p.Events[0].Reason != v1alpha3.ReasonMetadataDropped || len(p.Events[0].Message) > 1024 {
		t.Errorf("events: %+v", p.Events)
	}
}

func TestRefusedAddress(t *testing.T) {
	local := []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00:1::/64")}
	for address, refused := range map[string]bool{
		"192.0.2.1": false, "10.2.3.4": false, "2001:db8::1": false, "fd00:2::1": false, "64:ff9b::c000:201": false,
		"0.0.0.0": true, "0.1.2.3": true, "127.0.0.1": true, "127.8.8.8": true, "169.254.169.254": true,
		"224.0.0.1": true, "255.255.255.255": true, "10.96.0.1": true, "10.111.255.255": true,
		"::": true, "::1": true, "fe80::1": true, "ff02::1": true, "fd00:1::9": true, "fe80::1%eth0": true, "2001:db8::1%eth0": true,
		"::ffff:192.0.2.1": true, "::127.0.0.1": true, "64:ff9b::7f00:1": true, "64:ff9b::a60:1": true, "2002:7f00:1::1": true, "2002:a60:1::": true,
	} {
		if got := plan.RefusedAddress(netip.MustParseAddr(address), local); (got != "") != refused {
			t.Errorf("RefusedAddress(%s) = %q, want refused %t", address, got, refused)
		}
	}
	if plan.RefusedAddress(netip.Addr{}, nil) == "" {
		t.Error("no address at all is permitted")
	}
}

// TestGatewayReady: readiness is the verdict and the remote service together, and nothing flips
// without a verdict (LESSON-3, LESSON-22, LESSON-30).
func TestGatewayReady(t *testing.T) {
	for _, tc := range []struct {
		health            plan.Health
		was, remote, want bool
	}{
		{plan.HealthAlive, false, true, true},
		{plan.HealthAlive, true, false, false},
		{plan.HealthDead, true, true, false},
		{plan.HealthUnknown, true, true, true},
		{plan.HealthUnknown, false, true, false},
		{plan.HealthUnknown, true, false, false},
		{"", true, true, true},
	} {
		if got := plan.GatewayReady(tc.health, tc.was, tc.remote); got != tc.want {
			t.Errorf("GatewayReady(%s, was %t, remote %t) = %t", tc.health, tc.was, tc.remote, got)
		}
	}
}

func TestNamespaceAllowed(t *testing.T) {
	policy := plan.Policy{OwnNamespaces: []string{"linkerd-multicluster", "links"}, AllowedNamespaces: []string{"kube-public"}}
	for namespace, want := range map[string]bool{
		"shop": true, "kubernetes": true, "kube-public": true, "kube-system": false, "linkerd-multicluster": false, "links": false,
	} {
		if got := plan.NamespaceAllowed(policy, namespace); got != want {
			t.Errorf("NamespaceAllowed(%s) = %t", namespace, got)
		}
	}
}

func TestImports(t *testing.T) {
	for what, tc := range map[string]struct {
		imports []string
		want    bool
	}{"all": {nil, true}, "this one": {[]string{"shop", "web"}, true}, "another": {[]string{"web"}, false}} {
		if got := (plan.Policy{ImportNamespaces: tc.imports}).Imports("shop"); got != tc.want {
			t.Errorf("mirrors in %s: Imports(shop) = %t", what, got)
		}
	}
}

// TestRefusal: each marking of a mirror or federated service is enough (LESSON-54).
func TestRefusalOfMirrors(t *testing.T) {
	for name, change := range map[string]func(*corev1.Service){
		"mirror":             label(v1alpha3.LabelMirroredService, "true"),
		"mirror's cluster":   label(v1alpha3.LabelClusterName, "north"),
		"pod-to-pod mirror":  label(v1alpha3.LabelRemoteDiscovery, "north"),
		"mirror of a pod":    label(v1alpha3.LabelHeadlessMirrorName, "web-north"),
		"federated":          annotation(v1alpha3.AnnotationRemoteDiscovery, "web@north"),
		"federated, locally": annotation(v1alpha3.AnnotationLocalDiscovery, "web"),
	} {
		t.Run(name, func(t *testing.T) {
			in, _ := exported(t, "true", 1)
			if reason, _ := plan.Refusal(in.Link, in.Remote.Service); reason != "" {
				t.Fatalf("refused from the start: %s", reason)
			}
			change(in.Remote.Service)
			if reason, message := plan.Refusal(in.Link, in.Remote.Service); reason != v1alpha3.ReasonMirrorOfMirror || message == "" {
				t.Errorf("Refusal = %q, %q", reason, message)
			}
		})
	}
}

// TestDriftIsPutBack changes each field that we set, and nothing else.
func TestDriftIsPutBack(t *testing.T) {
	services := map[string]func(*corev1.Service){
		"label":                label("app", "x"),
		"contract label":       func(s *corev1.Service) { delete(s.Labels, v1alpha3.LabelRemoteService) },
		"annotation":           annotation("note", "x"),
		"annotation removed":   func(s *corev1.Service) { delete(s.Annotations, "note") },
		"version removed":      func(s *corev1.Service) { delete(s.Annotations, v1alpha3.AnnotationRemoteResourceVersion) },
		"type":                 func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeLoadBalancer },
		"families":             func(s *corev1.Service) { s.Spec.IPFamilyPolicy = new(corev1.IPFamilyPolicySingleStack) },
		"affinity":             func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityNone },
		"affinity timeout":     func(s *corev1.Service) { s.Spec.SessionAffinityConfig.ClientIP.TimeoutSeconds = new(int32(1)) },
		"distribution":         func(s *corev1.Service) { s.Spec.TrafficDistribution = nil },
		"port removed":         func(s *corev1.Service) { s.Spec.Ports = nil },
		"port name":            func(s *corev1.Service) { s.Spec.Ports[0].Name = "x" },
		"port protocol":        func(s *corev1.Service) { s.Spec.Ports[0].Protocol = corev1.ProtocolUDP },
		"port number":          func(s *corev1.Service) { s.Spec.Ports[0].Port = 81 },
		"application protocol": func(s *corev1.Service) { s.Spec.Ports[0].AppProtocol = nil },
	}
	for name, change := range services {
		t.Run("Service/"+name, func(t *testing.T) {
			in, c := exported(t, "remote-discovery", 1)
			change(c.service)
			in.Local = c.local()
			if p := plan.Compute(in); p.Service == nil || *p.Service.UID != c.service.UID {
				t.Errorf("not put back: %s", describe(p))
			}
		})
	}
	endpoint := func(change func(*discoveryv1.Endpoint)) func(*discoveryv1.EndpointSlice) {
		return func(s *discoveryv1.EndpointSlice) { change(&s.Endpoints[0]) }
	}
	slices := map[string]func(*discoveryv1.EndpointSlice){
		"fq name":              func(s *discoveryv1.EndpointSlice) { delete(s.Annotations, v1alpha3.AnnotationRemoteServiceFQName) },
		"hash":                 func(s *discoveryv1.EndpointSlice) { s.Annotations[v1alpha3.AnnotationAppliedHash] = "x" },
		"port added":           func(s *discoveryv1.EndpointSlice) { s.Ports = append(s.Ports, s.Ports[0]) },
		"port name":            func(s *discoveryv1.EndpointSlice) { s.Ports[0].Name = new("x") },
		"port number":          func(s *discoveryv1.EndpointSlice) { s.Ports[0].Port = new(int32(1)) },
		"port protocol":        func(s *discoveryv1.EndpointSlice) { s.Ports[0].Protocol = new(corev1.ProtocolUDP) },
		"application protocol": func(s *discoveryv1.EndpointSlice) { s.Ports[0].AppProtocol = new("x") },
		"endpoint added":       func(s *discoveryv1.EndpointSlice) { s.Endpoints = append(s.Endpoints, endpointAt(9)) },
		"endpoint removed":     func(s *discoveryv1.EndpointSlice) { s.Endpoints = nil },
		"address":              endpoint(func(e *discoveryv1.Endpoint) { e.Addresses[0] = "203.0.113.1" }),
		"ready":                endpoint(func(e *discoveryv1.Endpoint) { e.Conditions.Ready = nil }),
		"serving":              endpoint(func(e *discoveryv1.Endpoint) { e.Conditions.Serving = new(false) }),
		"terminating":          endpoint(func(e *discoveryv1.Endpoint) { e.Conditions.Terminating = new(true) }),
		"host name":            endpoint(func(e *discoveryv1.Endpoint) { e.Hostname = nil }),
		"zone":                 endpoint(func(e *discoveryv1.Endpoint) { e.Zone = new("b") }),
		"node name":            endpoint(func(e *discoveryv1.Endpoint) { e.NodeName = new("n") }),
		"target":               endpoint(func(e *discoveryv1.Endpoint) { e.TargetRef = &corev1.ObjectReference{} }),
		"hints":                endpoint(func(e *discoveryv1.Endpoint) { e.Hints = &discoveryv1.EndpointHints{} }),
	}
	for name, change := range slices {
		t.Run("EndpointSlice/"+name, func(t *testing.T) {
			in, c := exported(t, "remote-discovery", 1)
			for _, s := range c.slices {
				change(s)
			}
			in.Local = c.local()
			if p := plan.Compute(in); len(p.Slices) != 1 || *p.Slices[0].UID != in.Local.Slices[0].UID || p.Service != nil {
				t.Errorf("not put back: %s", describe(p))
			}
		})
	}
}

// TestCreationTakesTwoWrites: a Service, a slice, and no event (architecture, decision 3).
func TestCreationTakesTwoWrites(t *testing.T) {
	for _, mode := range []string{"true", "remote-discovery"} {
		in, _ := exported(t, mode, 1)
		in.Local = plan.Local{}
		if p := plan.Compute(in); p.Service == nil || p.Service.UID != nil || len(p.Slices) != 1 || p.Slices[0].UID != nil || len(p.Events) > 0 {
			t.Errorf("%s: %s, events %v", mode, describe(p), p.Events)
		}
	}
}

// TestChunks: at most 100 endpoints to a slice, and a change of one endpoint is one slice's write.
func TestChunks(t *testing.T) {
	in, c := exported(t, "remote-discovery", 250)
	if sizes := chunkSizes(c); cmp.Diff([]int{100, 100, 50}, sizes) != "" {
		t.Fatalf("slices of %v endpoints", sizes)
	}
	all := in.Remote.Slices[0].Endpoints
	for name, tc := range map[string]struct {
		endpoints []discoveryv1.Endpoint
		writes    int
		deletes   int
		sizes     []int
	}{
		"one goes from the middle":       {append(append([]discoveryv1.Endpoint{}, all[:50]...), all[51:]...), 1, 0, []int{99, 100, 50}},
		"one comes in front":             {append([]discoveryv1.Endpoint{endpointAt(300)}, all...), 1, 0, []int{100, 100, 51}},
		"one follows another":            {append(append([]discoveryv1.Endpoint{endpointAt(300)}, all[:50]...), all[51:]...), 1, 0, []int{100, 100, 50}},
		"one is there twice for a while": {append(append(append([]discoveryv1.Endpoint{}, all[:151]...), all[150]), all[151:]...), 1, 0, []int{100, 100, 51}},
		"all of one slice go":            {append(append([]discoveryv1.Endpoint{}, all[:100]...), all[200:]...), 0, 1, []int{100, 50}},
		"all go":                         {nil, 1, 2, []int{0}},
		"sixty come, for two slices":     {more(all, 60), 2, 0, []int{100, 100, 100, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			in, c := exported(t, "remote-discovery", 250)
			in.Remote.Slices[0].Endpoints = tc.endpoints
			p := plan.Compute(in)
			if len(p.Slices) != tc.writes || len(p.DeleteSlices) != tc.deletes {
				t.Errorf("%d writes and %d deletions, want %d and %d", len(p.Slices), len(p.DeleteSlices), tc.writes, tc.deletes)
			}
			if err := c.apply(p); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.sizes, chunkSizes(c)); diff != "" {
				t.Errorf("sizes (-want +got):\n%s", diff)
			}
		})
	}
}

func more(all []discoveryv1.Endpoint, n int) []discoveryv1.Endpoint {
	result := append([]discoveryv1.Endpoint{}, all...)
	for i := range n {
		result = append(result, endpointAt(300+i))
	}
	return result
}

func chunkSizes(c *cluster) []int {
	var sizes []int
	for _, s := range c.local().Slices {
		sizes = append(sizes, len(s.Endpoints))
	}
	return sizes
}

// TestObjectsBeingDeleted: what somebody is already deleting is neither written nor deleted again.
func TestObjectsBeingDeleted(t *testing.T) {
	for name, change := range map[string]func(*plan.Input){
		"present": func(*plan.Input) {},
		"unknown": func(in *plan.Input) { in.Remote = plan.Remote{State: plan.Unknown} },
		"refused": func(in *plan.Input) { in.Remote.Service.Spec.Ports = nil },
		"absent":  func(in *plan.Input) { in.Remote = plan.Remote{State: plan.Absent} },
		"link":    func(in *plan.Input) { in.Link.Deleting = true },
	} {
		t.Run(name, func(t *testing.T) {
			in, _ := exported(t, "true", 1)
			in.Gateway[0].Health = plan.HealthDead
			in.Local.Service.DeletionTimestamp = new(metav1.Unix(1, 0))
			in.Local.Slices[0].DeletionTimestamp = new(metav1.Unix(1, 0))
			change(&in)
			if p := plan.Compute(in); !p.Empty() {
				t.Errorf("%s", describe(p))
			}
		})
	}
}

// TestLimitSparesExistingMirrors: lowering the limit deletes and refuses nothing that exists.
func TestLimitSparesExistingMirrors(t *testing.T) {
	in, _ := exported(t, "true", 1)
	in.Mirrors, in.Policy.MaxMirrors = 5, 3
	if p := plan.Compute(in); !p.Empty() || p.Outcome.State != plan.StateMirrored {
		t.Errorf("%s, %+v", describe(p), p.Outcome)
	}
}

// TestGatewayAddressOrder: a resolver's order of answers, and an answer given twice, change nothing.
func TestGatewayAddressOrder(t *testing.T) {
	in, c := exported(t, "true", 1)
	address := func(ip string) plan.GatewayAddress {
		return plan.GatewayAddress{IP: netip.MustParseAddr(ip), Health: plan.HealthAlive}
	}
	in.Gateway = []plan.GatewayAddress{address("192.0.2.3"), address("192.0.2.1"), address("192.0.2.2")}
	if err := c.settle(in, 1); err != nil {
		t.Fatal(err)
	}
	in.Local = c.local()
	in.Gateway = []plan.GatewayAddress{address("192.0.2.2"), address("192.0.2.3"), address("::ffff:192.0.2.2"), address("192.0.2.1")}
	if p := plan.Compute(in); !p.Empty() || len(in.Local.Slices[0].Endpoints) != 3 {
		t.Errorf("%s", describe(p))
	}
}

// TestConversionUnderALimit: the endpoint limit is not used up by the mode that is not yet settled.
func TestConversionUnderALimit(t *testing.T) {
	in, c := exported(t, "remote-discovery", 1)
	in.Policy.MaxEndpoints = 1
	in.Gateway[0].Health = plan.HealthUnknown
	in.Remote.Service.Labels[v1alpha3.LabelExported] = "true"
	c.step = func() {
		if !c.ready() {
			t.Error("MIR-12: no ready endpoint for a moment")
		}
	}
	if err := c.settle(in, maxRounds); err != nil {
		t.Fatal(err)
	}
}

// TestNoTrafficDistributionThroughAGateway: there are no zones to prefer.
func TestNoTrafficDistributionThroughAGateway(t *testing.T) {
	_, c := exported(t, "true", 1)
	if d := c.service.Spec.TrafficDistribution; d != nil {
		t.Errorf("trafficDistribution %s", *d)
	}
}

// TestReadinessWithoutItsRecord: where somebody removed the record of the remote service's readiness,
// ready endpoints stand for it (LESSON-4).
func TestReadinessWithoutItsRecord(t *testing.T) {
	in, _ := exported(t, "true", 1)
	delete(in.Local.Slices[0].Annotations, v1alpha3.AnnotationRemoteReady)
	in.Remote = plan.Remote{State: plan.Unknown}
	if p := plan.Compute(in); !p.Outcome.Ready || len(p.Slices) != 1 || p.Slices[0].Annotations[v1alpha3.AnnotationRemoteReady] != "true" {
		t.Errorf("ready %t, %s", p.Outcome.Ready, describe(p))
	}
}

// TestZeroInput: nothing known is nothing to do, and no reason to fall over.
func TestZeroInput(t *testing.T) {
	if p := plan.Compute(plan.Input{}); !p.Empty() || p.Outcome.State != plan.StateNone {
		t.Errorf("%s, %+v", describe(p), p.Outcome)
	}
}

// BenchmarkCompute: what a reconcile costs when nothing is to be done, which is nearly always.
func BenchmarkCompute(b *testing.B) {
	for name, tc := range map[string]struct {
		mode      string
		endpoints int
	}{
		"gateway":         {"true", 3},
		"pod-to-pod":      {"remote-discovery", 3},
		"pod-to-pod-1000": {"remote-discovery", 1000},
	} {
		b.Run(name, func(b *testing.B) {
			in, _ := exported(b, tc.mode, tc.endpoints)
			b.ReportAllocs()
			for b.Loop() {
				if p := plan.Compute(in); !p.Empty() {
					b.Fatal(describe(p))
				}
			}
		})
	}
}
