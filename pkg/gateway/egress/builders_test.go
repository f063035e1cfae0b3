package egress

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

const (
	eastIdentity = "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
	linkNS       = "linkerd-multicluster"
)

// day is a time that many days after some beginning.
func day(n int) metav1.Time { return metav1.NewTime(time.Unix(1_700_000_000, 0).AddDate(0, 0, n)) }

// newMirror is the mirror of shop/web in cluster east, with port 80 at egress port 20001.
func newMirror(options ...func(*corev1.Service)) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-east", UID: "web-1", CreationTimestamp: day(1),
			Labels: map[string]string{v1alpha3.LabelMirroredService: "true", v1alpha3.LabelClusterName: "east"},
			Annotations: map[string]string{
				v1alpha3.AnnotationRemoteServiceFQName: "web.shop.svc.cluster.local",
				v1alpha3.AnnotationEgressPorts:         "80=20001",
			},
		},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}}},
	}
	for _, option := range options {
		option(svc)
	}
	return svc
}

// of makes it the mirror of another Service of namespace shop.
func of(service, cluster string) func(*corev1.Service) {
	return func(svc *corev1.Service) {
		svc.Name = service + "-" + cluster
		svc.UID = types.UID(service + "-1")
		svc.Labels[v1alpha3.LabelClusterName] = cluster
		svc.Annotations[v1alpha3.AnnotationRemoteServiceFQName] = service + ".shop.svc.cluster.local"
	}
}

func created(n int) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.CreationTimestamp = day(n) }
}

func in(namespace string) func(*corev1.Service) {
	return func(svc *corev1.Service) {
		svc.Namespace, svc.UID = namespace, types.UID(namespace)
		svc.Annotations[v1alpha3.AnnotationRemoteServiceFQName] = strings.TrimSuffix(svc.Name, "-east") + "." + namespace + ".svc.cluster.local"
	}
}

// leading is the EndpointSlice by which the service mirror leads the clients of a mirror here, made on a day.
func leading(mirror *corev1.Service, on int) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{
		Namespace: mirror.Namespace, Name: mirror.Name + "-egress-ipv4", CreationTimestamp: day(on),
		Labels: map[string]string{
			discoveryv1.LabelManagedBy: v1alpha3.SliceManagedBy, discoveryv1.LabelServiceName: mirror.Name,
			v1alpha3.LabelMirroredService: "true", v1alpha3.LabelClusterName: mirror.Labels[v1alpha3.LabelClusterName],
		},
		Annotations: map[string]string{v1alpha3.AnnotationEgressPorts: mirror.Annotations[v1alpha3.AnnotationEgressPorts]},
	}}
}

func egressPorts(text string) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Annotations[v1alpha3.AnnotationEgressPorts] = text }
}

func withPorts(ports ...corev1.ServicePort) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Spec.Ports = ports }
}

func tcp(port int32) corev1.ServicePort {
	return corev1.ServicePort{Name: "p" + strconv.Itoa(int(port)), Port: port, Protocol: corev1.ProtocolTCP}
}

// newLink leads to east, whose gateway is alive at 192.0.2.10.
func newLink(options ...func(*v1alpha3.Link)) *v1alpha3.Link {
	l := &v1alpha3.Link{
		ObjectMeta: metav1.ObjectMeta{Namespace: linkNS, Name: "east", CreationTimestamp: day(1)},
		Spec: v1alpha3.LinkSpec{
			TargetClusterName: "east", ClusterCredentialsSecret: "cluster-credentials-east",
			GatewayAddress: "192.0.2.10", GatewayPort: "4143", GatewayIdentity: eastIdentity,
		},
		Status: v1alpha3.LinkStatus{Gateway: []v1alpha3.GatewayAddressStatus{{Address: "192.0.2.10", State: "Alive"}}},
	}
	for _, option := range options {
		option(l)
	}
	return l
}

// status is address, state, address, state, …
func status(pairs ...string) func(*v1alpha3.Link) {
	return func(l *v1alpha3.Link) {
		l.Status.Gateway = nil
		for pair := range slices.Chunk(pairs, 2) {
			l.Status.Gateway = append(l.Status.Gateway, v1alpha3.GatewayAddressStatus{Address: pair[0], State: pair[1]})
		}
	}
}

// newTestTable knows these objects and no others.
func newTestTable(t testing.TB, objects ...any) *Table {
	t.Helper()
	table := NewTable(nil, false)
	table.ReplaceServices(nil)
	table.ReplaceSlices(nil)
	table.ReplaceLinks(nil)
	for _, object := range objects {
		set(t, table, object)
	}
	return table
}

func set(t testing.TB, table *Table, object any) {
	t.Helper()
	switch typed := object.(type) {
	case *corev1.Service:
		table.SetService(typed)
	case *discoveryv1.EndpointSlice:
		table.SetSlice(typed)
	case *v1alpha3.Link:
		table.SetLink(typed)
	default:
		t.Fatalf("%T is nothing that a table takes", object)
	}
}

// described are routes, a line for each port.
func described(r Routes) []string {
	var lines []string
	for _, port := range slices.Sorted(maps.Keys(r.ByPort)) {
		route := r.ByPort[port]
		line := strconv.Itoa(int(port)) + " " + route.Target.String() + " in " + route.Cluster
		if route.Gateway.Refused != "" {
			lines = append(lines, line+" refused "+string(route.Gateway.Refused))
			continue
		}
		line += " as " + route.Header.Name + ":" + strconv.Itoa(int(route.Header.Port)) + " " + route.Header.Protocol.String() + " at"
		for _, address := range route.Gateway.Addresses {
			line += " " + address.String()
		}
		lines = append(lines, line)
	}
	return lines
}
