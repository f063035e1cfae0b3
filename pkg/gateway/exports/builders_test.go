package exports

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// Identities of clients.
const (
	webClient = "web.shop.serviceaccount.identity.linkerd.cluster.local"
	batClient = "bat.cave.serviceaccount.identity.linkerd.cluster.local"
)

func discard() logr.Logger { return logr.Discard() }

func newTestMetrics() *Metrics { return NewMetrics(prometheus.NewRegistry()) }

// newTestTable has default options and lists that are empty. Its shuffle leaves everything in order.
func newTestTable(t testing.TB, onChange func(namespace, name string)) *Table {
	t.Helper()
	table := newUnsyncedTable(t, onChange)
	table.ReplaceServices(nil)
	table.ReplaceSlices(nil)
	return table
}

func newUnsyncedTable(t testing.TB, onChange func(namespace, name string)) *Table {
	t.Helper()
	var opts Options
	opts.Default()
	table, err := NewTable(discard(), opts, newTestMetrics(), onChange)
	if err != nil {
		t.Fatal(err)
	}
	table.shuffle = func(int, func(i, j int)) {}
	return table
}

type serviceOption func(*corev1.Service)

// newService is shop/web, exported, with a cluster IP and the TCP port http, 80.
func newService(options ...serviceOption) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web",
			Labels: map[string]string{v1alpha3.LabelExported: v1alpha3.ExportedGateway},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.7", ClusterIPs: []string{"10.96.0.7"},
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
			Ports:      []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}},
		},
	}
	for _, option := range options {
		option(svc)
	}
	return svc
}

func called(namespace, name string) serviceOption {
	return func(svc *corev1.Service) { svc.Namespace, svc.Name = namespace, name }
}

func headless(families ...corev1.IPFamily) serviceOption {
	return func(svc *corev1.Service) {
		svc.Spec.ClusterIP, svc.Spec.ClusterIPs = corev1.ClusterIPNone, []string{corev1.ClusterIPNone}
		svc.Spec.IPFamilies = families
	}
}

func withIPs(ips ...string) serviceOption {
	return func(svc *corev1.Service) {
		svc.Spec.ClusterIP, svc.Spec.ClusterIPs = "", ips
		if len(ips) > 0 {
			svc.Spec.ClusterIP = ips[0]
		}
	}
}

func withPorts(ports ...corev1.ServicePort) serviceOption {
	return func(svc *corev1.Service) { svc.Spec.Ports = ports }
}

func withLabel(key, value string) serviceOption {
	return func(svc *corev1.Service) { svc.Labels[key] = value }
}

func withoutLabel(key string) serviceOption {
	return func(svc *corev1.Service) { delete(svc.Labels, key) }
}

func withAnnotation(key, value string) serviceOption {
	return func(svc *corev1.Service) {
		if svc.Annotations == nil {
			svc.Annotations = map[string]string{}
		}
		svc.Annotations[key] = value
	}
}

func allowing(text string) serviceOption {
	return withAnnotation(v1alpha3.AnnotationAllowedClients, text)
}

func ofType(kind corev1.ServiceType) serviceOption {
	return func(svc *corev1.Service) { svc.Spec.Type = kind }
}

func beingDeleted() serviceOption {
	return func(svc *corev1.Service) { svc.DeletionTimestamp = new(metav1.Now()) }
}

type sliceOption func(*discoveryv1.EndpointSlice)

// newSlice is the slice web-1 of a Service, with its labels and, for each of its ports, the same name and
// the number 8080, 8081, ….
func newSlice(svc *corev1.Service, options ...sliceOption) *discoveryv1.EndpointSlice {
	es := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: svc.Namespace, Name: "web-1", Labels: maps.Clone(svc.Labels)},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	es.Labels[discoveryv1.LabelServiceName] = svc.Name
	es.Labels[corev1.IsHeadlessService] = ""
	for i, p := range svc.Spec.Ports {
		es.Ports = append(es.Ports, discoveryv1.EndpointPort{Name: new(p.Name), Port: new(int32(8080 + i)), Protocol: new(p.Protocol)})
	}
	for _, option := range options {
		option(es)
	}
	return es
}

func sliceCalled(name string) sliceOption {
	return func(es *discoveryv1.EndpointSlice) { es.Name = name }
}

func ofAddressType(kind discoveryv1.AddressType) sliceOption {
	return func(es *discoveryv1.EndpointSlice) { es.AddressType = kind }
}

func withSlicePorts(ports ...discoveryv1.EndpointPort) sliceOption {
	return func(es *discoveryv1.EndpointSlice) { es.Ports = ports }
}

// with adds a ready endpoint, with a hostname unless that is empty.
func with(address, hostname string, changes ...func(*discoveryv1.Endpoint)) sliceOption {
	return func(es *discoveryv1.EndpointSlice) {
		e := discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)}}
		if hostname != "" {
			e.Hostname = new(hostname)
		}
		for _, change := range changes {
			change(&e)
		}
		es.Endpoints = append(es.Endpoints, e)
	}
}

func ready(is *bool) func(*discoveryv1.Endpoint) {
	return func(e *discoveryv1.Endpoint) { e.Conditions.Ready = is }
}

func whole(service string) wire.Target { return wire.Target{Service: service, Namespace: "shop"} }

func pod(hostname string) wire.Target {
	return wire.Target{Hostname: hostname, Service: "web", Namespace: "shop"}
}

func addresses(texts ...string) []netip.AddrPort {
	var parsed []netip.AddrPort
	for _, text := range texts {
		parsed = append(parsed, netip.MustParseAddrPort(text))
	}
	return parsed
}

func texts(parsed []netip.AddrPort) []string {
	var out []string
	for _, a := range parsed {
		out = append(out, a.String())
	}
	slices.Sort(out)
	return out
}
