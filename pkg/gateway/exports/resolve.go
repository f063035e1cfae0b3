package exports

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/linkspan/linkspan/pkg/gateway/clients"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// Export is one port of an exported Service. It is the caller's own.
type Export struct {
	Namespace, Name string
	// Port is the Service's port, PortName its name there, which may be empty.
	Port     int32
	PortName string
	// AppProtocol is the port's appProtocol, and empty where the Service says none.
	AppProtocol string
	// Headless is true where Addresses are those of endpoints.
	Headless bool
	// Addresses are where to dial, in the order in which to try: the cluster IPs in the Service's order,
	// or the ready endpoints in a new random order at each call, all of the Service's first family before
	// those of the other.
	Addresses []netip.AddrPort
	// Allowed narrows who may call the Service; nil narrows nothing.
	Allowed *clients.List
}

// Allows says whether the export lets a client of this identity in. What the gateway as a whole allows
// is not asked.
func (e Export) Allows(identity string) bool {
	return e.Allowed == nil || e.Allowed.Allows(identity)
}

// Resolve says where a stream for a target and a port of it is to go. The target's domain is the
// caller's to check; see wire.ParseTarget.
//
// Errors are *Error. With ReasonNoEndpoints the Export is complete but for its addresses, so that a
// client can be judged all the same, and a stream that is open be left alone: a pod that is not ready
// keeps its connections. With any other reason the target is closed to everybody.
func (t *Table) Resolve(target wire.Target, port uint16) (Export, error) {
	export, ipv6First, err := t.find(target, port)
	if err != nil {
		return Export{}, err
	}
	if !export.Headless {
		return export, nil
	}
	if len(export.Addresses) == 0 {
		text := "the headless Service has no ready endpoint for this port"
		if target.Hostname != "" {
			text = "the headless Service has no ready endpoint of this hostname for this port"
		}
		return export, &Error{ReasonNoEndpoints, target, port, text}
	}
	t.spread(export.Addresses, ipv6First)
	return export, nil
}

// find reads the tables. Addresses of endpoints are sorted.
func (t *Table) find(target wire.Target, port uint16) (export Export, ipv6First bool, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	k := key{Namespace: target.Namespace, Name: target.Service}
	s := t.services[k]
	p, refused := t.admit(s, target, port)
	if refused != (refusal{}) {
		return Export{}, false, &Error{refused.reason, target, port, refused.text}
	}
	export = Export{
		Namespace: k.Namespace, Name: k.Name, Port: int32(port), PortName: p.name, AppProtocol: p.appProtocol,
		Headless: s.headless, Allowed: s.clients.list,
	}
	for _, ip := range s.ips {
		export.Addresses = append(export.Addresses, netip.AddrPortFrom(ip, port))
	}
	if s.headless {
		export.Addresses = t.endpoints(k, target.Hostname, p.name)
	}
	return export, s.ipv6First, nil
}

// admit finds the port, or says why there is no way to it.
func (t *Table) admit(s *service, target wire.Target, port uint16) (servicePort, refusal) {
	if !t.synced() {
		return servicePort{}, refusal{reason: ReasonNotSynced, text: "the cluster's API server has not told yet what is exported"}
	}
	if s == nil {
		return servicePort{}, refusal{reason: ReasonNotExported, text: fmt.Sprintf(
			"the Service does not exist or is not exported: exported ones have labels that match %s", t.exported)}
	}
	if s.refused != (refusal{}) {
		return servicePort{}, s.refused
	}
	p, ok := s.ports[port]
	switch {
	case !ok:
		return p, refusal{reason: ReasonNoSuchPort, text: "the Service has no such port in spec.ports"}
	case p.protocol != corev1.ProtocolTCP:
		return p, refusal{reason: ReasonProtocol, text: fmt.Sprintf("the port is %s, and a gateway carries TCP only", p.protocol)}
	case target.Hostname != "" && !s.headless:
		return p, refusal{reason: ReasonUnsupported, text: "only pods of a headless Service have names of their own, " +
			"and this Service has a cluster IP"}
	}
	return p, refusal{}
}

// endpoints are the ready endpoints of a headless Service, or of one hostname, sorted, each once: while
// an endpoint moves from one slice to another it may be in both.
func (t *Table) endpoints(of key, hostname, portName string) []netip.AddrPort {
	var found []netip.AddrPort
	for _, s := range t.byService[of] {
		number, ok := s.ports[portName]
		if !ok {
			continue
		}
		for _, e := range s.ready {
			if hostname == "" || e.hostname == hostname {
				found = append(found, netip.AddrPortFrom(e.ip, number))
			}
		}
	}
	slices.SortFunc(found, netip.AddrPort.Compare)
	return slices.Compact(found)
}

// spread shuffles addresses, so that callers who take the first share their load out, and puts the first
// family in front.
func (t *Table) spread(addresses []netip.AddrPort, ipv6First bool) {
	t.shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	slices.SortStableFunc(addresses, func(a, b netip.AddrPort) int {
		switch first := a.Addr().Is6() == ipv6First; {
		case first == (b.Addr().Is6() == ipv6First):
			return 0
		case first:
			return -1
		default:
			return 1
		}
	})
}
