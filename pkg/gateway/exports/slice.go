package exports

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// slice is what is kept of an EndpointSlice of a headless Service. It is never changed once made.
type slice struct {
	// service is the name of the Service, in the namespace of the slice.
	service string
	// ready are the endpoints that may be dialed, sorted.
	ready []endpoint
	// ports are the TCP ports by name.
	ports map[string]uint16
}

type endpoint struct {
	ip       netip.Addr
	hostname string
}

// describeSlice takes out of an EndpointSlice what is kept of it.
func describeSlice(es *discoveryv1.EndpointSlice) *slice {
	s := &slice{service: es.Labels[discoveryv1.LabelServiceName], ports: map[string]uint16{}}
	for i := range es.Endpoints {
		if e, ok := describeEndpoint(es.AddressType, &es.Endpoints[i]); ok {
			s.ready = append(s.ready, e)
		}
	}
	// Controllers write endpoints in any order, which changes nothing.
	slices.SortFunc(s.ready, func(a, b endpoint) int {
		return cmp.Or(a.ip.Compare(b.ip), cmp.Compare(a.hostname, b.hostname))
	})
	for _, p := range es.Ports {
		addPort(s.ports, p)
	}
	return s
}

// describeEndpoint refuses endpoints that are not ready and addresses that are not to be dialed.
// Ready is true where it is not said, and only the first address counts, as the API has it. An FQDN is
// none: it would have to be looked up.
func describeEndpoint(kind discoveryv1.AddressType, e *discoveryv1.Endpoint) (endpoint, bool) {
	if ready := e.Conditions.Ready; ready != nil && !*ready || len(e.Addresses) == 0 {
		return endpoint{}, false
	}
	ip, ok := parseAddress(e.Addresses[0])
	if !ok || ip.Is4() != (kind == discoveryv1.AddressTypeIPv4) || ip.Is6() != (kind == discoveryv1.AddressTypeIPv6) {
		return endpoint{}, false
	}
	found := endpoint{ip: ip}
	if e.Hostname != nil {
		found.hostname = *e.Hostname
	}
	return found, true
}

// addPort keeps TCP ports that have a number. One without stands for all ports, which no Service means.
func addPort(ports map[string]uint16, p discoveryv1.EndpointPort) {
	if p.Port == nil || p.Protocol != nil && protocolOf(*p.Protocol) != corev1.ProtocolTCP {
		return
	}
	number, ok := portNumber(*p.Port)
	if !ok {
		return
	}
	name := ""
	if p.Name != nil {
		name = *p.Name
	}
	ports[name] = number
}

// same says whether two slices, or none, lead to the same places.
func (s *slice) same(o *slice) bool {
	if s == nil || o == nil {
		return s == o
	}
	return s.service == o.service && slices.Equal(s.ready, o.ready) && maps.Equal(s.ports, o.ports)
}
