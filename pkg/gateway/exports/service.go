package exports

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/gateway/clients"
	"github.com/linkspan/linkspan/pkg/link"
)

// service is what is kept of a Service that carries the export label. It is never changed once made.
type service struct {
	// refused says why it leads nowhere, if it does.
	refused  refusal
	headless bool
	// ipv6First is true where endpoints with IPv6 addresses come first.
	ipv6First bool
	// ips are the cluster IPs, in the Service's order. A headless Service has none.
	ips     []netip.Addr
	ports   map[uint16]servicePort
	clients clientele
}

type servicePort struct {
	name        string
	protocol    corev1.Protocol
	appProtocol string
}

// clientele is what an export says of its clients.
type clientele struct {
	// narrowed is true where it says something, in text.
	narrowed bool
	text     string
	// list is what text means, and nobody where it means nothing.
	list    *clients.List
	invalid bool
}

// refusal is why a Service that carries the export label leads nowhere.
type refusal struct {
	reason Reason
	// cause is the value of a metric's label.
	cause string
	text  string
}

// Causes of refusals.
const (
	causeMirror       = "mirror"
	causeDeleting     = "deleting"
	causeExternalName = "external_name"
	causeNoPorts      = "no_ports"
	causeNoClusterIP  = "no_cluster_ip"
)

func causes() []string {
	return []string{causeMirror, causeDeleting, causeExternalName, causeNoPorts, causeNoClusterIP}
}

// describe takes out of a Service what is kept of it, but for its clients.
func describe(svc *corev1.Service) *service {
	s := &service{
		headless: svc.Spec.ClusterIP == corev1.ClusterIPNone,
		ports:    portsOf(svc),
	}
	if len(svc.Spec.IPFamilies) > 0 {
		s.ipv6First = svc.Spec.IPFamilies[0] == corev1.IPv6Protocol
	}
	if !s.headless {
		s.ips = clusterIPs(svc)
	}
	s.refused = refuse(svc, s)
	return s
}

// refuse says why a Service leads nowhere (LESSON-54, LESSON-56). A Service that is being deleted may
// be held by somebody's finalizer for long: its export ends with the wish.
func refuse(svc *corev1.Service, s *service) refusal {
	switch {
	case link.StandsForRemote(svc):
		return refusal{ReasonNotExported, causeMirror, "the Service is itself a mirror or a federated service: " +
			"export the Service that it stands for, from the cluster where that lives"}
	case svc.DeletionTimestamp != nil:
		return refusal{ReasonNotExported, causeDeleting, "the Service is being deleted"}
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		return refusal{ReasonUnsupported, causeExternalName, "the Service is of type ExternalName, a DNS alias without endpoints: " +
			"export a Service of type ClusterIP, with EndpointSlices of your own if it has no selector"}
	case len(svc.Spec.Ports) == 0:
		return refusal{ReasonNoSuchPort, causeNoPorts, "the Service has no ports: add at least one to spec.ports"}
	case !s.headless && len(s.ips) == 0:
		return refusal{ReasonUnsupported, causeNoClusterIP, "the Service has no cluster IP and is not headless: " +
			"look at spec.clusterIP"}
	}
	return refusal{}
}

// portsOf are the ports by number. The same number can be there once for each protocol: TCP, which is
// all that a gateway carries, hides the others.
func portsOf(svc *corev1.Service) map[uint16]servicePort {
	ports := make(map[uint16]servicePort, len(svc.Spec.Ports))
	for _, p := range svc.Spec.Ports {
		number, ok := portNumber(p.Port)
		if !ok {
			continue
		}
		if ports[number].protocol == corev1.ProtocolTCP {
			continue
		}
		kept := servicePort{name: p.Name, protocol: protocolOf(p.Protocol)}
		if p.AppProtocol != nil {
			kept.appProtocol = *p.AppProtocol
		}
		ports[number] = kept
	}
	return ports
}

// clusterIPs are the cluster IPs, first family first.
func clusterIPs(svc *corev1.Service) []netip.Addr {
	texts := svc.Spec.ClusterIPs
	if len(texts) == 0 {
		texts = []string{svc.Spec.ClusterIP}
	}
	var ips []netip.Addr
	for _, text := range texts {
		if ip, ok := parseAddress(text); ok {
			ips = append(ips, ip)
		}
	}
	return ips
}

// same says whether two services, or none, lead to the same places for the same clients.
func (s *service) same(o *service) bool {
	if s == nil || o == nil {
		return s == o
	}
	return s.refused == o.refused && s.headless == o.headless && s.ipv6First == o.ipv6First &&
		s.clients.narrowed == o.clients.narrowed && s.clients.text == o.clients.text &&
		slices.Equal(s.ips, o.ips) && maps.Equal(s.ports, o.ports)
}

// parseClients reads an export's list of clients. What cannot be read allows nobody: the user wanted
// to keep somebody out.
func parseClients(text string) (clientele, error) {
	list, err := clients.ParseText(text)
	if err != nil {
		return clientele{narrowed: true, text: text, list: &clients.List{}, invalid: true},
			fmt.Errorf("annotation %s, which allows nobody until it is mended: %w", v1alpha3.AnnotationAllowedClients, err)
	}
	return clientele{narrowed: true, text: text, list: &list}, nil
}

func protocolOf(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

func portNumber(number int32) (uint16, bool) {
	if number < 1 || number > 65535 {
		return 0, false
	}
	return uint16(number), true
}

// parseAddress takes the addresses that mean the same host to every pod of the cluster. An IPv4
// address written as IPv6 could hide one that does not.
func parseAddress(text string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || ip.Is4In6() || !ip.IsGlobalUnicast() || ip.Is4() && ip.As4()[0] == 0 {
		return netip.Addr{}, false
	}
	return ip, true
}
