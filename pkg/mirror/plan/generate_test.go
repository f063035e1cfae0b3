package plan_test

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// source makes values of bytes; when those are used up, every choice is the first.
type source struct {
	data []byte
	uids int
	// calm makes what is mirrored, most of the time.
	calm bool
}

func (s *source) intn(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return int(b) % n
}

func (s *source) one(in int) bool { return s.intn(in) == in-1 }

func pick[T any](s *source, choices ...T) T { return choices[s.intn(len(choices))] }

func (s *source) uid() types.UID {
	s.uids++
	return types.UID(fmt.Sprintf("given-%d", s.uids))
}

func selects(key, value string) labels.Selector {
	return labels.SelectorFromSet(labels.Set{key: value})
}

func (s *source) input() plan.Input {
	in := plan.Input{
		Link: link.Link{
			Name: "east", Namespace: "linkerd-multicluster", Cluster: "east", Domain: "cluster.local",
			Gateway:             s.linkGateway(),
			Exported:            selects(v1alpha3.LabelExported, v1alpha3.ExportedGateway),
			RemoteDiscovery:     selects(v1alpha3.LabelExported, v1alpha3.ExportedRemoteDiscovery),
			ExcludedLabels:      link.NewKeyFilter([]string{"example.com/*"}),
			ExcludedAnnotations: link.NewKeyFilter([]string{"secret"}),
		},
		Namespace:      pick(s, "shop", "shop", "shop", "kube-system"),
		Name:           pick(s, "web", "web", "web", "web", "web", "web", strings.Repeat("w", 62), "Web!"),
		LocalNamespace: pick(s, plan.NamespaceActive, plan.NamespaceActive, plan.NamespaceActive, plan.NamespaceMissing, plan.NamespaceTerminating),
		Remote:         s.remote(),
		Gateway:        s.gateway(),
		Clients:        s.clients(),
		Egress:         s.egress(),
		Policy:         s.policy(),
		Mirrors:        s.intn(3),
	}
	if s.calm {
		in.Namespace, in.Name, in.LocalNamespace = "shop", "web", plan.NamespaceActive
	}
	return in
}

func (s *source) linkGateway() *link.Gateway {
	if s.one(5) && (!s.calm || s.one(3)) {
		return nil
	}
	return &link.Gateway{
		Addresses: []string{"gateway.east.example"}, Port: pick[uint16](s, 4143, 30143),
		Identity: pick(s, "gateway.east", "", "gateway2.east"),
	}
}

func (s *source) policy() plan.Policy {
	return plan.Policy{
		CreateNamespaces:  s.one(3),
		OwnNamespaces:     []string{"linkerd-multicluster", "links"},
		AllowedNamespaces: pick(s, nil, []string{"kube-system"}),
		MaxMirrors:        pick(s, 0, 0, 2) * s.harsh(),
		MaxEndpoints:      pick(s, 0, 0, 0, 1, 5, 150),
		LocalNetworks:     []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")},
	}
}

// harsh is nothing in a calm world.
func (s *source) harsh() int {
	if s.calm {
		return 0
	}
	return 1
}

func (s *source) gateway() []plan.GatewayAddress {
	var addresses []plan.GatewayAddress
	for range s.intn(5) {
		ip := pick(s, "192.0.2.1", "192.0.2.2", "2001:db8::1", "10.96.3.4", "127.0.0.1", "::ffff:192.0.2.3", "64:ff9b::7f00:1")
		addresses = append(addresses, plan.GatewayAddress{
			IP: netip.MustParseAddr(ip), Health: pick(s, plan.HealthAlive, plan.HealthDead, plan.HealthUnknown),
		})
	}
	return addresses
}

func (s *source) clients() link.Clients {
	return pick(s, link.ClientsMesh, link.ClientsEgress, link.ClientsUnset, link.ClientsEgress)
}

// egress has pods in the local networks too, which is where they belong, and a port for each port that a
// service can have, unless there were too few.
func (s *source) egress() plan.Egress {
	e := plan.Egress{Service: "linkerd-multicluster/linkspan-egress"}
	if s.one(12) {
		e.Lacks = pick(s, plan.EgressLimitRange, plan.EgressLimitShare)
	}
	ports := pick(s, "80=20080,81=20081,82=20082", "80=20080,81=20081,82=20082", "80=20180,81=20080,82=20082")
	if e.Lacks != plan.EgressLimitNone {
		ports = pick(s, "80=20080", "")
	}
	e.Ports = plan.ParseEgressPorts(ports)
	for range s.intn(4) {
		pod := plan.EgressPod{
			IP:   netip.MustParseAddr(pick(s, "10.96.8.1", "10.96.8.2", "198.51.100.201", "2001:db8:42::1", "::ffff:10.96.8.3", "127.0.0.1")),
			Zone: pick(s, "", "a"), Node: pick(s, "", "node-1"),
		}
		pod.Ready, pod.Serving, pod.Terminating = !s.one(3), !s.one(3), s.one(4)
		e.Pods = append(e.Pods, pod)
	}
	return e
}

func (s *source) remote() plan.Remote {
	state := pick(s, plan.Present, plan.Present, plan.Present, plan.Present, plan.Present, plan.Absent, plan.Unknown)
	if s.calm && state == plan.Absent {
		state = plan.Present
	}
	if state != plan.Present {
		return plan.Remote{State: state}
	}
	r := plan.Remote{State: state, Service: s.remoteService()}
	first := s.intn(4)
	for i := range s.intn(4) {
		r.Slices = append(r.Slices, s.remoteSlice((first+i)%4))
	}
	return r
}

func (s *source) remoteService() *corev1.Service {
	if s.calm {
		return s.plainService()
	}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Name: "web", Namespace: "shop", UID: "remote", ResourceVersion: fmt.Sprint(s.intn(100)),
		Labels: map[string]string{
			v1alpha3.LabelExported: pick(s, "true", "remote-discovery", "true", "remote-discovery", "true", "remote-discovery", "no"),
		},
		Annotations: map[string]string{},
	}}
	for _, key := range []string{"app", "example.com/team", "helm.sh/chart", "bad key", v1alpha3.LabelMirroredService} {
		if s.one(6) {
			svc.Labels[key] = pick(s, "a", "b")
		}
	}
	for _, key := range []string{"note", "secret", "config.linkerd.io/opaque-ports", v1alpha3.AnnotationLocalDiscovery, "linkspan.io/applied-hash"} {
		if s.one(6) {
			svc.Annotations[key] = pick(s, "a", "b", strings.Repeat("x", plan.MaxAnnotationValue+1), "\xff")
		}
	}
	svc.Spec.Type = pick(s, corev1.ServiceTypeClusterIP, corev1.ServiceTypeClusterIP, corev1.ServiceTypeClusterIP, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeExternalName)
	svc.Spec.ClusterIP = pick(s, "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", corev1.ClusterIPNone)
	for i := range pick(s, 1, 2, 3, 1, 2, 0) {
		port := corev1.ServicePort{Name: fmt.Sprintf("p%d", i), Port: int32(80 + i), Protocol: pick(s, corev1.ProtocolTCP, "", corev1.ProtocolTCP, "", corev1.ProtocolUDP)}
		if s.one(15) {
			port.Name = pick(s, "", "p0", "P!", strings.Repeat("p", 64))
			port.Port = pick[int32](s, port.Port, 80, 0, 70000)
			port.Protocol = pick(s, port.Protocol, corev1.Protocol("ICMP"))
		}
		port.AppProtocol = pick(s, nil, new("http"), new("kubernetes.io/h2c"), new("no good"))
		svc.Spec.Ports = append(svc.Spec.Ports, port)
	}
	if s.one(3) {
		svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		svc.Spec.SessionAffinityConfig = pick(s, nil, &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(pick[int32](s, 60, 0, 86401))}})
	}
	svc.Spec.TrafficDistribution = pick(s, nil, new("PreferClose"), new("PreferSameZone"), new("PreferSameNode"))
	return svc
}

// plainService has nothing that could be refused.
func (s *source) plainService() *corev1.Service {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Name: "web", Namespace: "shop", UID: "remote", ResourceVersion: fmt.Sprint(s.intn(100)),
		Labels: map[string]string{v1alpha3.LabelExported: pick(s, "true", "remote-discovery", "true")},
	}}
	svc.Spec.ClusterIP = "10.0.0.1"
	for i := range pick(s, 1, 2, 3) {
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: fmt.Sprintf("p%d", i), Port: int32(80 + i)})
	}
	return svc
}

func (s *source) remoteSlice(i int) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: fmt.Sprintf("web-%d", i), Namespace: "shop"},
		AddressType: pick(s, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN),
	}
	for i := range s.intn(3) {
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{
			Name: pick(s, new(fmt.Sprintf("p%d", i)), nil, new("P!")), Port: pick(s, new(int32(8080)), nil, new(int32(0))),
			Protocol: pick(s, new(corev1.ProtocolTCP), nil, new(corev1.ProtocolUDP), new(corev1.Protocol("ICMP"))),
		})
	}
	count, base := pick(s, 1, 2, 3, 0, 120, 230), s.intn(4)
	for n := range count {
		// Many endpoints are alike, or they would use up all choices.
		choices := s
		if n >= 4 {
			choices = &source{}
		}
		slice.Endpoints = append(slice.Endpoints, choices.endpoint(slice.AddressType, base+n))
	}
	return slice
}

func (s *source) endpoint(family discoveryv1.AddressType, n int) discoveryv1.Endpoint {
	address := fmt.Sprintf("198.51.100.%d", n%256)
	if family == discoveryv1.AddressTypeIPv6 {
		address = fmt.Sprintf("2001:db8:0:1::%x", n+1)
	}
	if s.one(20) {
		address = pick(s, "127.0.0.1", "169.254.169.254", "224.0.0.1", "0.0.0.0", "10.96.0.1", "::1", "fe80::1%eth0",
			"::ffff:10.96.0.1", "ff02::1", "64:ff9b::a60:1", "2002:7f00:1::", "nonsense", "")
	}
	condition := func() *bool { return pick(s, new(true), nil, new(false)) }
	return discoveryv1.Endpoint{
		Addresses:  []string{address},
		Conditions: discoveryv1.EndpointConditions{Ready: condition(), Serving: condition(), Terminating: condition()},
		Hostname:   pick(s, nil, new("pod-0"), new("Pod 0")),
		Zone:       pick(s, nil, new("a"), new("not/a/zone")),
		NodeName:   pick(s, nil, new("node-1")),
		TargetRef:  pick(s, nil, &corev1.ObjectReference{Kind: "Pod", Name: "web-0"}),
		Hints:      pick(s, nil, &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "a"}}}),
	}
}

// local is what the mirror's name holds at first: nothing, Linkerd's mirror, or something else.
func (s *source) local(in plan.Input) plan.Local {
	mirror := in.Link.MirrorName(in.Name)
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: mirror, Namespace: in.Namespace, UID: s.uid(),
			Labels: map[string]string{v1alpha3.LabelMirroredService: "true", v1alpha3.LabelClusterName: in.Link.Cluster, "app": "old"},
			Annotations: map[string]string{
				v1alpha3.AnnotationRemoteServiceFQName: in.Link.RemoteFQName(in.Namespace, in.Name), "note": "old",
			},
		},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.7.7", Ports: []corev1.ServicePort{{Name: "old", Port: 81, Protocol: corev1.ProtocolTCP}}},
	}
	var l plan.Local
	kind := s.intn(10)
	if s.calm && kind < 8 {
		kind = 0
	}
	switch kind {
	case 0, 1, 2, 3:
	case 4: // a user's
		svc.Labels = map[string]string{"app": "mine"}
		l.Service, l.Foreign = svc, true
	case 5: // the other order of a-b and c (LESSON-19)
		svc.Labels[v1alpha3.LabelClusterName] = "web-east"
		l.Service = svc
	case 6:
		svc.Labels[v1alpha3.LabelHeadlessMirrorName] = "web-east"
		l.Service = svc
	case 7:
		svc.Annotations[v1alpha3.AnnotationRemoteDiscovery] = "web@east,web@north"
		l.Service = svc
	default: // Linkerd's, with the slice that Kubernetes makes of its Endpoints
		l.Service = svc
		l.Slices = append(l.Slices, s.localSlice(in, mirror+"-x7k2p", "endpointslicemirroring-controller.k8s.io"))
	}
	if s.one(4) {
		l.Slices = append(l.Slices, s.localSlice(in, mirror+"-gateway-ipv4", "somebody"))
	}
	if s.one(4) {
		l.Slices = append(l.Slices, s.localSlice(in, mirror+"-gateway-ipv6", v1alpha3.SliceManagedBy)) // of the wrong family
	}
	if s.one(6) {
		l.Slices = append(l.Slices, s.localSlice(in, mirror+"-egress-ipv4", "somebody"))
	}
	if s.one(6) {
		l.Slices = append(l.Slices, s.localSlice(in, mirror+"-egress-ipv6", v1alpha3.SliceManagedBy))
	}
	return l
}

func (s *source) localSlice(in plan.Input, name, managedBy string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: in.Namespace, UID: s.uid(), Labels: map[string]string{
			v1alpha3.LabelMirroredService: "true", v1alpha3.LabelClusterName: in.Link.Cluster,
			discoveryv1.LabelServiceName: in.Link.MirrorName(in.Name), discoveryv1.LabelManagedBy: managedBy,
		}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.1"}}},
	}
}
