package plan

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// RemoteReady says whether a service has a ready endpoint; ready unset means ready.
func RemoteReady(remote []*discoveryv1.EndpointSlice) bool {
	return slices.ContainsFunc(remote, func(s *discoveryv1.EndpointSlice) bool { return s != nil && anyReady(s.Endpoints) })
}

func anyReady(endpoints []discoveryv1.Endpoint) bool {
	for i := range endpoints {
		if r := endpoints[i].Conditions.Ready; r == nil || *r {
			return true
		}
	}
	return false
}

// GatewayReady says whether an address of a gateway is to be ready in a mirror: the gateway is alive
// there and the remote service has a ready endpoint (LESSON-22, LESSON-30). Without a verdict yet an
// address stays as ready as it was, and a new one is not ready (LESSON-3).
func GatewayReady(health Health, was, remoteReady bool) bool {
	switch health {
	case HealthAlive:
		return remoteReady
	case HealthDead:
		return false
	default:
		return was && remoteReady
	}
}

// gatewaySlices are the slices of a mirror that goes through the gateway: its addresses, by family.
func (p *pass) gatewaySlices(ports []corev1.ServicePort, remoteReady bool) []sliceIntent {
	was := p.gatewayWas()
	var v4, v6 []discoveryv1.Endpoint
	for _, address := range p.gatewayAddresses(was) {
		if !p.admit(address.IP) {
			continue
		}
		ready := GatewayReady(address.Health, was[address.IP], remoteReady)
		endpoint := discoveryv1.Endpoint{
			Addresses:  []string{address.IP.String()},
			Conditions: discoveryv1.EndpointConditions{Ready: new(ready), Serving: new(ready), Terminating: new(false)},
		}
		if address.IP.Is4() {
			v4 = append(v4, endpoint)
		} else {
			v6 = append(v6, endpoint)
		}
	}
	template := sliceIntent{ports: p.gatewayPorts(ports), annotations: map[string]string{
		v1alpha3.AnnotationRemoteServiceFQName: p.fqName,
		v1alpha3.AnnotationRemoteReady:         boolText(remoteReady),
	}}
	if identity := p.in.Link.Gateway.Identity; identity != "" {
		template.annotations[v1alpha3.AnnotationRemoteGatewayIdentity] = identity
	}
	intents := p.spread(template, p.mirror+"-gateway-ipv4", discoveryv1.AddressTypeIPv4, v4, false)
	return append(intents, p.spread(template, p.mirror+"-gateway-ipv6", discoveryv1.AddressTypeIPv6, v6, false)...)
}

// gatewayWas is the readiness of each gateway address in the slices that exist.
func (p *pass) gatewayWas() map[netip.Addr]bool {
	was := map[netip.Addr]bool{}
	for _, slice := range p.chunks(kindGateway) {
		for i := range slice.Endpoints {
			for _, text := range slice.Endpoints[i].Addresses {
				if ip, err := netip.ParseAddr(text); err == nil {
					was[ip] = was[ip] || anyReady(slice.Endpoints[i:i+1])
				}
			}
		}
	}
	return was
}

// gatewayAddresses are the gateway's addresses, sorted, each once. Before its names were first
// resolved they are those that the slices have, without a verdict, so that nothing flickers after a
// restart. While none of them has a verdict, those that were ready and are no longer among them stay
// too: an edit of the addresses leaves no moment without endpoints (MIR-12).
func (p *pass) gatewayAddresses(was map[netip.Addr]bool) []GatewayAddress {
	addresses := make([]GatewayAddress, 0, max(len(p.in.Gateway), len(was)))
	for _, a := range p.in.Gateway {
		addresses = append(addresses, GatewayAddress{IP: a.IP.Unmap(), Health: a.Health})
	}
	unresolved, awaited := len(p.in.Gateway) == 0, p.verdictsAwaited()
	for ip, ready := range was {
		if unresolved || (awaited && ready) {
			addresses = append(addresses, GatewayAddress{IP: ip, Health: HealthUnknown})
		}
	}
	slices.SortStableFunc(addresses, func(a, b GatewayAddress) int { return a.IP.Compare(b.IP) })
	return slices.CompactFunc(addresses, func(a, b GatewayAddress) bool { return a.IP == b.IP })
}

// verdictsAwaited says whether there are addresses that may be used, and no verdict on any of them.
func (p *pass) verdictsAwaited() bool {
	awaited := false
	for _, a := range p.in.Gateway {
		switch {
		case RefusedAddress(a.IP.Unmap(), p.in.Policy.LocalNetworks) != "":
		case a.Health == HealthAlive, a.Health == HealthDead:
			return false
		default:
			awaited = true
		}
	}
	return awaited
}

// gatewayPorts keep each service port's name and get the gateway's number.
func (p *pass) gatewayPorts(ports []corev1.ServicePort) []discoveryv1.EndpointPort {
	var mapped []discoveryv1.EndpointPort
	for _, port := range ports {
		if protocolOf(port.Protocol) != corev1.ProtocolTCP {
			continue
		}
		mapped = append(mapped, gatewayPort(port, int32(p.in.Link.Gateway.Port)))
	}
	return mapped
}

// gatewayPort is a service port in a slice, with the number of whoever takes its connections.
func gatewayPort(port corev1.ServicePort, number int32) discoveryv1.EndpointPort {
	return discoveryv1.EndpointPort{
		Name: new(port.Name), Protocol: new(corev1.ProtocolTCP), Port: new(number), AppProtocol: appProtocol(port.AppProtocol),
	}
}

// gatewayJudged says whether gateway slices are as ready as they can be for now: every address has a
// verdict, or one is ready already.
func (p *pass) gatewayJudged(intents []sliceIntent) bool {
	if slices.ContainsFunc(intents, func(s sliceIntent) bool { return anyReady(s.endpoints) }) {
		return true
	}
	return len(p.in.Gateway) > 0 && !slices.ContainsFunc(p.gatewayAddresses(nil), func(a GatewayAddress) bool {
		return a.Health != HealthAlive && a.Health != HealthDead && RefusedAddress(a.IP, p.in.Policy.LocalNetworks) == ""
	})
}

// followGateway updates the gateway slices of a mirror that is kept, and deletes none. Without slices
// there is nothing to go by: whether the remote service was ready is written on them alone.
func (p *pass) followGateway() {
	have := p.chunks(kindGateway)
	if len(have) == 0 {
		return
	}
	if p.in.Link.Gateway == nil {
		for _, slice := range have {
			p.applySlice(p.withoutGateway(slice))
		}
		return
	}
	wanted := map[string]bool{}
	p.applySlices(p.gatewaySlices(p.own.Spec.Ports, p.keptReady(have)), wanted)
	for _, slice := range have {
		if !wanted[slice.Name] {
			gone := p.asItIs(slice)
			gone.endpoints = nil
			p.applySlice(gone)
		}
	}
}

// keptReady says whether the remote service of a mirror that is kept has a ready endpoint: what the
// target says, and while it says nothing, what the slices say.
func (p *pass) keptReady(have []*discoveryv1.EndpointSlice) bool {
	if p.remoteState() == Present {
		return RemoteReady(p.in.Remote.Slices)
	}
	return recordedReady(have)
}

// recordedReady is what the slices say of the remote service. Where somebody removed the annotation,
// a ready endpoint says it as well.
func recordedReady(have []*discoveryv1.EndpointSlice) bool {
	return slices.ContainsFunc(have, func(s *discoveryv1.EndpointSlice) bool {
		recorded, ok := s.Annotations[v1alpha3.AnnotationRemoteReady]
		return recorded == labelTrue || (!ok && anyReady(s.Endpoints))
	})
}

// withoutGateway is a slice whose gateway the Link no longer has.
func (p *pass) withoutGateway(slice *discoveryv1.EndpointSlice) sliceIntent {
	intent := p.asItIs(slice)
	for i := range intent.endpoints {
		intent.endpoints[i].Conditions = discoveryv1.EndpointConditions{
			Ready: new(false), Serving: new(false), Terminating: new(false),
		}
	}
	return intent
}

func boolText(b bool) string {
	if b {
		return labelTrue
	}
	return "false"
}
