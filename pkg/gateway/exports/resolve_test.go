package exports

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/gateway/clients"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

const (
	v4 = corev1.IPv4Protocol
	v6 = corev1.IPv6Protocol
)

// GW-2: which address a Service leads to is Kubernetes' own answer, and none for what is not exported.
func TestResolveServicesWithClusterIPs(t *testing.T) {
	tcp := func(name string, port int32) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Port: port, Protocol: corev1.ProtocolTCP}
	}
	udp := func(port int32) corev1.ServicePort {
		return corev1.ServicePort{Name: "udp", Port: port, Protocol: corev1.ProtocolUDP}
	}
	cases := map[string]struct {
		service *corev1.Service
		target  wire.Target
		port    uint16
		want    []string
		reason  Reason
	}{
		"the cluster IP and the service's own port": {
			service: newService(), want: []string{"10.96.0.7:80"},
		},
		"the target port is kube-proxy's business": {
			service: newService(func(svc *corev1.Service) { svc.Spec.Ports[0].TargetPort.IntVal = 8080 }),
			want:    []string{"10.96.0.7:80"},
		},
		"both families, the first of the Service first": {
			service: newService(withIPs("fd00::7", "10.96.0.7")), want: []string{"[fd00::7]:80", "10.96.0.7:80"},
		},
		"an object without the list of cluster IPs": {
			service: newService(func(svc *corev1.Service) { svc.Spec.ClusterIPs = nil }), want: []string{"10.96.0.7:80"},
		},
		"a LoadBalancer has a cluster IP too": {
			service: newService(ofType(corev1.ServiceTypeLoadBalancer)), want: []string{"10.96.0.7:80"},
		},
		"the second port": {
			service: newService(withPorts(tcp("http", 80), tcp("https", 443))), port: 443, want: []string{"10.96.0.7:443"},
		},
		"the highest port": {
			service: newService(withPorts(tcp("", 65535))), port: 65535, want: []string{"10.96.0.7:65535"},
		},
		"a port without a protocol is TCP": {
			service: newService(withPorts(corev1.ServicePort{Port: 80})), want: []string{"10.96.0.7:80"},
		},
		"TCP beside UDP of the same number": {
			service: newService(withPorts(udp(80), tcp("http", 80))), want: []string{"10.96.0.7:80"},
		},
		"UDP beside TCP of the same number": {
			service: newService(withPorts(tcp("http", 80), udp(80))), want: []string{"10.96.0.7:80"},
		},
		"UDP alone": {service: newService(withPorts(udp(53))), port: 53, reason: ReasonProtocol},
		"SCTP": {
			service: newService(withPorts(corev1.ServicePort{Port: 53, Protocol: corev1.ProtocolSCTP})), port: 53, reason: ReasonProtocol,
		},
		"a port that the Service does not have": {service: newService(), port: 81, reason: ReasonNoSuchPort},
		"the target port of a port": {
			service: newService(func(svc *corev1.Service) { svc.Spec.Ports[0].TargetPort.IntVal = 8080 }),
			port:    8080, reason: ReasonNoSuchPort,
		},
		"the node port of a port": {
			service: newService(func(svc *corev1.Service) { svc.Spec.Ports[0].NodePort = 30080 }),
			port:    30080, reason: ReasonNoSuchPort,
		},
		"no ports":        {service: newService(withPorts()), reason: ReasonNoSuchPort},
		"another Service": {service: newService(), target: whole("api"), reason: ReasonNotExported},
		"the same name in another namespace": {
			service: newService(), target: wire.Target{Service: "web", Namespace: "kube-system"}, reason: ReasonNotExported,
		},
		"a pod's name under a Service that has a cluster IP": {service: newService(), target: pod("web-0"), reason: ReasonUnsupported},
		"without the export label":                           {service: newService(withoutLabel(v1alpha3.LabelExported)), reason: ReasonNotExported},
		"exported from pod to pod, past the gateway": {
			service: newService(withLabel(v1alpha3.LabelExported, v1alpha3.ExportedRemoteDiscovery)), reason: ReasonNotExported,
		},
		"another value of the export label": {
			service: newService(withLabel(v1alpha3.LabelExported, "yes")), reason: ReasonNotExported,
		},
		"LESSON-54: a mirror": {
			service: newService(withLabel(v1alpha3.LabelMirroredService, "true")), reason: ReasonNotExported,
		},
		"LESSON-54: a mirror whose mark was tampered with": {
			service: newService(withLabel(v1alpha3.LabelMirroredService, "false")), reason: ReasonNotExported,
		},
		"LESSON-54: a mirror that lost the first of its labels": {
			service: newService(withLabel(v1alpha3.LabelClusterName, "east")), reason: ReasonNotExported,
		},
		"LESSON-54: a pod-to-pod mirror": {
			service: newService(withLabel(v1alpha3.LabelRemoteDiscovery, "east")), reason: ReasonNotExported,
		},
		"LESSON-54: a mirror of a pod": {
			service: newService(withLabel(v1alpha3.LabelHeadlessMirrorName, "web-east")), reason: ReasonNotExported,
		},
		"LESSON-54: a federated service": {
			service: newService(withAnnotation(v1alpha3.AnnotationRemoteDiscovery, "web@east")), reason: ReasonNotExported,
		},
		"LESSON-54: a federated service with its local member alone": {
			service: newService(withAnnotation(v1alpha3.AnnotationLocalDiscovery, "web")), reason: ReasonNotExported,
		},
		"a Service that is being deleted": {service: newService(beingDeleted()), reason: ReasonNotExported},
		"LESSON-56: an ExternalName": {
			service: newService(ofType(corev1.ServiceTypeExternalName), withIPs()), reason: ReasonUnsupported,
		},
		"an ExternalName that kept its cluster IP": {
			service: newService(ofType(corev1.ServiceTypeExternalName)), reason: ReasonUnsupported,
		},
		"no cluster IP yet":                    {service: newService(withIPs()), reason: ReasonUnsupported},
		"a loopback address as the cluster IP": {service: newService(withIPs("127.0.0.1")), reason: ReasonUnsupported},
		"something else as the cluster IP":     {service: newService(withIPs("web.example")), reason: ReasonUnsupported},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			table := newTestTable(t, nil)
			table.SetService(tc.service)
			if tc.target == (wire.Target{}) {
				tc.target = whole("web")
			}
			if tc.port == 0 {
				tc.port = 80
			}
			got, err := table.Resolve(tc.target, tc.port)
			if ReasonOf(err) != tc.reason {
				t.Fatalf("error = %v, want reason %q", err, tc.reason)
			}
			if diff := cmp.Diff(addresses(tc.want...), got.Addresses, cmpopts.EquateComparable(addresses("1.1.1.1:1")[0])); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
}

// LESSON-56, GW-2: a headless Service leads to the pods that DNS would name.
func TestResolveHeadlessServices(t *testing.T) {
	svc := newService(headless(v4))
	tcp, udp := new(corev1.ProtocolTCP), new(corev1.ProtocolUDP)
	cases := map[string]struct {
		service *corev1.Service
		slices  []*discoveryv1.EndpointSlice
		target  wire.Target
		want    []string
		reason  Reason
	}{
		"all ready endpoints, at the port of the slice": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", "web-0"), with("10.1.0.2", ""))},
			want:   []string{"10.1.0.1:8080", "10.1.0.2:8080"},
		},
		"of one hostname": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", "web-0"), with("10.1.0.2", "web-1"))},
			target: pod("web-1"), want: []string{"10.1.0.2:8080"},
		},
		"of one hostname in both families, the first of the Service first": {
			service: newService(headless(v6, v4)),
			slices: []*discoveryv1.EndpointSlice{
				newSlice(svc, with("10.1.0.1", "web-0"), with("10.1.0.2", "web-1")),
				newSlice(svc, sliceCalled("web-2"), ofAddressType(discoveryv1.AddressTypeIPv6), with("fd00:1::1", "web-0"), with("fd00:1::2", "web-1")),
			},
			target: pod("web-1"), want: []string{"[fd00:1::2]:8080", "10.1.0.2:8080"},
		},
		"IPv4 first, where that is the Service's first": {
			service: newService(headless(v4, v6)),
			slices: []*discoveryv1.EndpointSlice{
				newSlice(svc, ofAddressType(discoveryv1.AddressTypeIPv6), with("fd00:1::1", "")),
				newSlice(svc, sliceCalled("web-2"), with("10.1.0.1", "")),
			},
			want: []string{"10.1.0.1:8080", "[fd00:1::1]:8080"},
		},
		"each slice has port numbers of its own": {
			slices: []*discoveryv1.EndpointSlice{
				newSlice(svc, with("10.1.0.1", "")),
				newSlice(svc, sliceCalled("web-2"), with("10.1.0.2", ""),
					withSlicePorts(discoveryv1.EndpointPort{Name: new("http"), Port: new(int32(9090)), Protocol: tcp})),
			},
			want: []string{"10.1.0.1:8080", "10.1.0.2:9090"},
		},
		"an endpoint that moves from slice to slice is in both for a moment": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", "")), newSlice(svc, sliceCalled("web-2"), with("10.1.0.1", ""))},
			want:   []string{"10.1.0.1:8080"},
		},
		"a port without a name and without a protocol": {
			service: newService(headless(v4), withPorts(corev1.ServicePort{Port: 80})),
			slices: []*discoveryv1.EndpointSlice{
				newSlice(svc, with("10.1.0.1", ""), withSlicePorts(discoveryv1.EndpointPort{Port: new(int32(8080))})),
			},
			want: []string{"10.1.0.1:8080"},
		},
		"readiness that is not told is given": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", "", ready(nil)))}, want: []string{"10.1.0.1:8080"},
		},
		"endpoints that are not ready are left out": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", "", ready(new(false))), with("10.1.0.2", ""))},
			want:   []string{"10.1.0.2:8080"},
		},
		"only the first address of an endpoint counts": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", "", func(e *discoveryv1.Endpoint) {
				e.Addresses = append(e.Addresses, "10.1.0.9")
			}))},
			want: []string{"10.1.0.1:8080"},
		},
		"addresses that mean something else here are left out": {
			slices: []*discoveryv1.EndpointSlice{
				newSlice(svc, with("127.0.0.1", ""), with("127.1.2.3", ""), with("0.0.0.0", ""), with("0.1.2.3", ""), with("169.254.169.254", ""),
					with("224.0.0.1", ""), with("255.255.255.255", ""), with("010.1.0.1", ""), with("web.example", ""), with("", ""), with("10.1.0.3", "")),
				newSlice(svc, sliceCalled("web-2"), ofAddressType(discoveryv1.AddressTypeIPv6), with("::1", ""), with("::", ""), with("fe80::1", ""),
					with("fe80::1%eth0", ""), with("fd00::1%eth0", ""), with("ff02::1", ""), with("::ffff:127.0.0.1", ""), with("::ffff:10.1.0.4", "")),
			},
			want: []string{"10.1.0.3:8080"},
		},
		"addresses of another family than the slice's are left out": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("fd00:1::1", "")),
				newSlice(svc, sliceCalled("web-2"), ofAddressType(discoveryv1.AddressTypeIPv6), with("10.1.0.1", ""))},
			reason: ReasonNoEndpoints,
		},
		"names are never looked up": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, ofAddressType(discoveryv1.AddressTypeFQDN), with("pod.example", ""), with("10.1.0.1", ""))},
			reason: ReasonNoEndpoints,
		},
		"no slice": {reason: ReasonNoEndpoints},
		"no endpoint is ready": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", "", ready(new(false))))}, reason: ReasonNoEndpoints,
		},
		"no endpoint of the hostname": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", "web-0"), with("10.1.0.2", ""))},
			target: pod("web-1"), reason: ReasonNoEndpoints,
		},
		"the endpoint of the hostname is not ready": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", "web-0", ready(new(false))), with("10.1.0.2", "web-1"))},
			target: pod("web-0"), reason: ReasonNoEndpoints,
		},
		"a slice without a port of the name": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", ""),
				withSlicePorts(discoveryv1.EndpointPort{Name: new("other"), Port: new(int32(8080)), Protocol: tcp}))},
			reason: ReasonNoEndpoints,
		},
		"a slice with a UDP port of the name": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", ""),
				withSlicePorts(discoveryv1.EndpointPort{Name: new("http"), Port: new(int32(8080)), Protocol: udp}))},
			reason: ReasonNoEndpoints,
		},
		"a slice whose port has no number, or none that can be": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", ""), withSlicePorts(
				discoveryv1.EndpointPort{Name: new("http"), Protocol: tcp}, discoveryv1.EndpointPort{Name: new("http"), Port: new(int32(65536))}))},
			reason: ReasonNoEndpoints,
		},
		"an endpoint without an address": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("", "", func(e *discoveryv1.Endpoint) { e.Addresses = nil }))},
			reason: ReasonNoEndpoints,
		},
		"a slice of another Service": {
			slices: []*discoveryv1.EndpointSlice{newSlice(newService(headless(v4), called("shop", "api")), with("10.1.0.1", ""))},
			reason: ReasonNoEndpoints,
		},
		"a slice of the same Service in another namespace": {
			slices: []*discoveryv1.EndpointSlice{newSlice(newService(headless(v4), called("cave", "web")), with("10.1.0.1", ""))},
			reason: ReasonNoEndpoints,
		},
		"a slice without the export label": {
			slices: []*discoveryv1.EndpointSlice{newSlice(newService(headless(v4), withoutLabel(v1alpha3.LabelExported)), with("10.1.0.1", ""))},
			reason: ReasonNoEndpoints,
		},
		"a slice that is not of a headless Service": {
			slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", ""), func(es *discoveryv1.EndpointSlice) {
				delete(es.Labels, corev1.IsHeadlessService)
			})},
			reason: ReasonNoEndpoints,
		},
		"LESSON-54: a headless mirror": {
			service: newService(headless(v4), withLabel(v1alpha3.LabelMirroredService, "true")),
			slices:  []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", ""))}, reason: ReasonNotExported,
		},
		"endpoints of a Service that is not exported": {
			service: newService(headless(v4), withoutLabel(v1alpha3.LabelExported)),
			slices:  []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", ""))}, reason: ReasonNotExported,
		},
		"endpoints of a Service with a cluster IP are kube-proxy's": {
			service: newService(), slices: []*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", ""))}, want: []string{"10.96.0.7:80"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			table := newTestTable(t, nil)
			if tc.service == nil {
				tc.service = svc
			}
			for _, es := range tc.slices { // before the Service: the two come by different watches
				table.SetSlice(es)
			}
			table.SetService(tc.service)
			if tc.target == (wire.Target{}) {
				tc.target = whole("web")
			}
			got, err := table.Resolve(tc.target, 80)
			if ReasonOf(err) != tc.reason {
				t.Fatalf("error = %v, want reason %q", err, tc.reason)
			}
			if diff := cmp.Diff(addresses(tc.want...), got.Addresses, cmpopts.EquateComparable(addresses("1.1.1.1:1")[0])); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
}

// POL-13: an export can narrow who calls it, and a list that cannot be read opens nothing.
func TestAllowedClients(t *testing.T) {
	cases := map[string]struct {
		service  *corev1.Service
		narrowed bool
		allowed  []string
	}{
		"no list narrows nothing": {service: newService(), allowed: []string{webClient, batClient}},
		"a list of one":           {service: newService(allowing(webClient)), narrowed: true, allowed: []string{webClient}},
		"a namespace of clients": {
			service: newService(allowing("*.cave.serviceaccount.identity.linkerd.cluster.local")), narrowed: true, allowed: []string{batClient},
		},
		"several": {service: newService(allowing(webClient + ", " + batClient)), narrowed: true, allowed: []string{webClient, batClient}},
		"a list that cannot be read allows nobody, not even those that can be read": {
			service: newService(allowing(webClient + ", a b/c")), narrowed: true,
		},
		"an empty list allows nobody": {service: newService(allowing("")), narrowed: true},
		"a headless Service without endpoints tells whom it allows all the same": {
			service: newService(headless(v4), allowing(webClient)), narrowed: true, allowed: []string{webClient},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			table := newTestTable(t, nil)
			table.SetService(tc.service)
			export, err := table.Resolve(whole("web"), 80)
			if reason := ReasonOf(err); err != nil && reason != ReasonNoEndpoints {
				t.Fatal(err)
			}
			if narrowed := export.Allowed != nil; narrowed != tc.narrowed {
				t.Errorf("narrowed = %t, want %t", narrowed, tc.narrowed)
			}
			for _, identity := range []string{webClient, batClient} {
				if got := export.Allows(identity); got != slices.Contains(tc.allowed, identity) {
					t.Errorf("Allows(%s) = %t", identity, got)
				}
			}
		})
	}
	if (Export{Allowed: &clients.List{}}).Allows(webClient) {
		t.Error("the list that allows nobody lets somebody in")
	}
}

func TestExportTellsOfThePort(t *testing.T) {
	table := newTestTable(t, nil)
	svc := newService(withPorts(corev1.ServicePort{Name: "grpc", Port: 9000, AppProtocol: new("kubernetes.io/h2c")}))
	table.SetService(svc)
	got, err := table.Resolve(whole("web"), 9000)
	if err != nil {
		t.Fatal(err)
	}
	want := Export{
		Namespace: "shop", Name: "web", Port: 9000, PortName: "grpc", AppProtocol: "kubernetes.io/h2c",
		Addresses: addresses("10.96.0.7:9000"),
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(want.Addresses[0])); diff != "" {
		t.Errorf("export (-want +got):\n%s", diff)
	}
	got.Addresses[0] = addresses("10.0.0.1:1")[0]
	if again, _ := table.Resolve(whole("web"), 9000); again.Addresses[0] != want.Addresses[0] {
		t.Error("a caller changed the table through its Export")
	}
}

// Callers that take the first address share their load out over all endpoints of the first family.
func TestEndpointsAreSpread(t *testing.T) {
	table := newTestTable(t, nil)
	table.shuffle = func(n int, swap func(i, j int)) { // one of the many orders: backwards
		for i := range n / 2 {
			swap(i, n-1-i)
		}
	}
	svc := newService(headless(v4, v6))
	table.SetService(svc)
	table.SetSlice(newSlice(svc, with("10.1.0.1", ""), with("10.1.0.2", ""), with("10.1.0.3", "")))
	table.SetSlice(newSlice(svc, sliceCalled("web-2"), ofAddressType(discoveryv1.AddressTypeIPv6), with("fd00:1::1", ""), with("fd00:1::2", "")))
	got, err := table.Resolve(whole("web"), 80)
	if err != nil {
		t.Fatal(err)
	}
	want := addresses("10.1.0.3:8080", "10.1.0.2:8080", "10.1.0.1:8080", "[fd00:1::2]:8080", "[fd00:1::1]:8080")
	if !slices.Equal(got.Addresses, want) {
		t.Errorf("addresses = %v, want %v", got.Addresses, want)
	}
}

// With the order that is used outside of tests, each endpoint comes first now and then. That one of
// three does not in 200 calls has a probability of less than 10^-34.
func TestEveryEndpointComesFirstSometimes(t *testing.T) {
	var opts Options
	opts.Default()
	table, err := NewTable(discard(), opts, newTestMetrics(), nil)
	if err != nil {
		t.Fatal(err)
	}
	svc := newService(headless(v4))
	table.ReplaceServices([]*corev1.Service{svc})
	table.ReplaceSlices([]*discoveryv1.EndpointSlice{newSlice(svc, with("10.1.0.1", ""), with("10.1.0.2", ""), with("10.1.0.3", ""))})
	first := map[string]int{}
	for range 200 {
		got, err := table.Resolve(whole("web"), 80)
		if err != nil {
			t.Fatal(err)
		}
		first[got.Addresses[0].String()]++
		if all := texts(got.Addresses); !slices.Equal(all, []string{"10.1.0.1:8080", "10.1.0.2:8080", "10.1.0.3:8080"}) {
			t.Fatalf("addresses = %v", all)
		}
	}
	if len(first) != 3 {
		t.Errorf("came first: %v, want each of three endpoints", first)
	}
}

// Nothing can be reached before it is known what may be: both lists must have come.
func TestNothingIsReachedBeforeTheFirstLists(t *testing.T) {
	services := func(table *Table) { table.ReplaceServices([]*corev1.Service{newService()}) }
	endpoints := func(table *Table) { table.ReplaceSlices(nil) }
	cases := map[string]struct {
		first, second func(*Table)
	}{
		"services first":  {services, endpoints},
		"endpoints first": {endpoints, services},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			table := newUnsyncedTable(t, nil)
			table.SetService(newService())
			for _, step := range []func(*Table){func(*Table) {}, tc.first} {
				step(table)
				if _, err := table.Resolve(whole("web"), 80); ReasonOf(err) != ReasonNotSynced || table.Synced() {
					t.Errorf("error = %v, synced = %t, want %s", err, table.Synced(), ReasonNotSynced)
				}
			}
			tc.second(table)
			if _, err := table.Resolve(whole("web"), 80); err != nil || !table.Synced() {
				t.Errorf("error = %v, synced = %t after both lists", err, table.Synced())
			}
		})
	}
}

// An error says what was asked for and what to do.
func TestErrorsNameTheTargetAndTheMend(t *testing.T) {
	table := newTestTable(t, nil)
	table.SetService(newService(ofType(corev1.ServiceTypeExternalName)))
	for target, want := range map[wire.Target][]string{
		whole("api"): {"api.shop.svc:80", "mirror.linkerd.io/exported=true"},
		whole("web"): {"web.shop.svc:80", "type ClusterIP"},
	} {
		_, err := table.Resolve(target, 80)
		for _, text := range want {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("error = %v, want it to name %s", err, text)
			}
		}
		var typed *Error
		if !errors.As(err, &typed) || typed.Target != target || typed.Port != 80 {
			t.Errorf("error = %#v, want one of target %v and port 80", err, target)
		}
	}
	if got := ReasonOf(errors.New("other")); got != "" {
		t.Errorf("ReasonOf(other) = %q", got)
	}
}
