package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// Egress is what is known of our egress in the local cluster, which carries clients without a Linkerd
// proxy to the gateways.
type Egress struct {
	// Service names where its pods are listed, for messages.
	Service string
	// Pods are those that are listed, ready or not. Loopback and the like are left out.
	Pods []EgressPod
	// Ports are the egress ports that this mirror has and no other.
	Ports EgressPorts
	// Lacks says why not all ports that EgressPortsNeeded asks for could be given.
	Lacks EgressLimit
}

// EgressLimit is why a mirror cannot have the egress ports that it needs.
type EgressLimit string

// What can be in the way of egress ports.
const (
	EgressLimitNone EgressLimit = ""
	// EgressLimitRange: no port of the whole range is free.
	EgressLimitRange EgressLimit = "range"
	// EgressLimitShare: the Link's mirrors have as many as those of one Link may have.
	EgressLimitShare EgressLimit = "share"
)

// EgressPod is a pod of the egress as its EndpointSlice shows it.
type EgressPod struct {
	IP                          netip.Addr
	Ready, Serving, Terminating bool
	// Zone and Node may be empty.
	Zone, Node string
}

// EgressPortsNeeded are the ports of a remote Service, ascending, for which its mirror needs an egress
// port; none where it is not going to lead to the egress. Compute is to be given a port for each, or
// else Egress.Lacks.
func EgressPortsNeeded(in Input) []int32 {
	in.Egress.Lacks = EgressLimitNone
	p := newPass(in)
	if in.Link.Deleting || p.remoteState() != Present || p.kindFor(p.mode()) != kindEgress || p.egressAwaited() || p.obstacle() != nil {
		return nil
	}
	var needed []int32
	for _, port := range in.Remote.Service.Spec.Ports {
		needed = append(needed, port.Port)
	}
	slices.Sort(needed)
	return needed
}

// egressAwaited is true of an existing mirror that is to lead to an egress which is not there: it stays
// what it is until there are pods, and is not even announced to them.
func (p *pass) egressAwaited() bool {
	if p.own == nil || len(p.pods) > 0 || p.has(kindEgress) {
		return false
	}
	return len(p.slices) > 0 || p.own.Annotations[v1alpha3.AnnotationAppliedHash] == ""
}

// egressAnnounced says whether slices may lead to the egress. The pods listen on what the mirror's
// annotation says. A mirror that serves already by other slices gets the annotation first, and leads to
// the pods once the cache shows it, and so most likely theirs. A new mirror has nothing to lose.
func (p *pass) egressAnnounced(ports []corev1.ServicePort) bool {
	return p.own == nil || p.has(kindEgress) ||
		p.own.Annotations[v1alpha3.AnnotationEgressPorts] == p.in.Egress.Ports.Of(ports).String()
}

// egressAnnotation is the value of the annotation by which the pods know their ports. It outlives the
// mode for as long as there are slices that lead to them; empty means none.
func (p *pass) egressAnnotation(mode link.Mode) string {
	if (p.kindFor(mode) != kindEgress || p.egressAwaited()) && !p.has(kindEgress) {
		return ""
	}
	return p.in.Egress.Ports.Of(p.in.Remote.Service.Spec.Ports).String()
}

// egressIntents are the slices of a mirror that is to lead to the egress, as far as it may already, and
// whether they are as ready as they can be.
func (p *pass) egressIntents(ports []corev1.ServicePort, remoteReady bool) (want []sliceIntent, judged bool) {
	if p.egressAwaited() || !p.egressAnnounced(ports) {
		return nil, false
	}
	want = p.egressSlices(ports, remoteReady)
	return want, p.egressJudged(want)
}

// egressJudged says whether egress slices are as ready as they can be: one endpoint is, or it is not
// for want of a pod or a verdict that none is.
func (p *pass) egressJudged(intents []sliceIntent) bool {
	if slices.ContainsFunc(intents, func(s sliceIntent) bool { return anyReady(s.endpoints) }) {
		return true
	}
	return p.gatewayHealth() != HealthUnknown && slices.ContainsFunc(p.pods, EgressPod.takesClients)
}

func (pod EgressPod) takesClients() bool { return pod.Ready && !pod.Terminating }

// egressSlices are the slices of a mirror that leads to our own egress: its pods, by family, with a port
// of their own for each port of the mirror. A pod is ready as far as it goes when it can carry a client
// on: the gateway is alive at one address at least, and the remote service has a ready endpoint. Else
// no pod is, so that clients fail at once and not after a dial (MIR-11).
//
// Each change of the pods is one write for each mirror: with 1000 mirrors 1000 writes when a pod comes,
// becomes ready or goes. What bounds it: an egress has few pods, which come and go one after the other;
// the queue holds each mirror once, however many changes it waits through; and no more writes are under
// way than there are workers.
func (p *pass) egressSlices(ports []corev1.ServicePort, remoteReady bool) []sliceIntent {
	open := p.gatewayVerifiable() && GatewayReady(p.gatewayHealth(), p.egressWas(), remoteReady)
	var v4, v6 []discoveryv1.Endpoint
	for _, pod := range p.egressPods() {
		endpoint := discoveryv1.Endpoint{
			Addresses: []string{pod.IP.String()},
			Conditions: discoveryv1.EndpointConditions{
				Ready: new(open && pod.takesClients()), Serving: new(open && pod.Serving), Terminating: new(pod.Terminating),
			},
			Zone: orNil(pod.Zone), NodeName: orNil(pod.Node),
		}
		if pod.IP.Is4() {
			v4 = append(v4, endpoint)
		} else {
			v6 = append(v6, endpoint)
		}
	}
	// One slice is there even without pods: it records for those to come what the target said last.
	none := len(v4)+len(v6) == 0
	only6 := p.has(kindEgress) && !slices.ContainsFunc(p.chunks(kindEgress), func(s *discoveryv1.EndpointSlice) bool {
		return s.AddressType == discoveryv1.AddressTypeIPv4
	})
	template := p.egressTemplate(ports, remoteReady)
	intents := p.spread(template, p.mirror+"-egress-ipv4", discoveryv1.AddressTypeIPv4, v4, none && !only6)
	return append(intents, p.spread(template, p.mirror+"-egress-ipv6", discoveryv1.AddressTypeIPv6, v6, none && only6)...)
}

func orNil(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// egressTemplate is what all egress slices of a mirror have in common. They name the remote service as
// all slices do, but no gateway identity: whoever connects to a pod speaks no TLS to it. To Linkerd's
// destination service that is an endpoint outside the mesh, of which it tells no identity and a proxy
// expects none; the name only makes it the authority of requests, as it is through a gateway.
//
// They carry the mirror's annotation of its egress ports as well: whoever may write Services could write
// that of a mirror, so it is the slices' that says which ports a mirror really has (SEC-4).
func (p *pass) egressTemplate(ports []corev1.ServicePort, remoteReady bool) sliceIntent {
	template := sliceIntent{annotations: map[string]string{
		v1alpha3.AnnotationRemoteServiceFQName: p.fqName,
		v1alpha3.AnnotationRemoteReady:         boolText(remoteReady),
	}}
	given := p.in.Egress.Ports.Of(ports)
	if len(given) > 0 {
		template.annotations[v1alpha3.AnnotationEgressPorts] = given.String()
	}
	for _, port := range ports {
		// A port that another mirror claims with better right, or that has none yet, leads nowhere.
		if egress, ok := given[port.Port]; ok {
			template.ports = append(template.ports, gatewayPort(port, int32(egress)))
		}
	}
	return template
}

// egressPods are the pods to list. Where none is known at all, those that the slices have stay as they
// were: a pod that ends is listed as not ready before it is listed no more, so what vanishes while ready
// is the list, when somebody renames or deletes the egress Service.
func (p *pass) egressPods() []EgressPod {
	if len(p.pods) > 0 {
		return p.pods
	}
	var written []EgressPod
	for _, slice := range p.chunks(kindEgress) {
		for i := range slice.Endpoints {
			if pod, ok := podOf(&slice.Endpoints[i]); ok {
				written = append(written, pod)
			}
		}
	}
	return usablePods(written)
}

// podOf is the pod that an endpoint of ours was written for.
func podOf(e *discoveryv1.Endpoint) (EgressPod, bool) {
	if len(e.Addresses) == 0 {
		return EgressPod{}, false
	}
	ip, err := netip.ParseAddr(e.Addresses[0])
	ready := ptr.Deref(e.Conditions.Ready, true)
	return EgressPod{
		IP: ip, Ready: ready, Serving: ptr.Deref(e.Conditions.Serving, ready), Terminating: ptr.Deref(e.Conditions.Terminating, false),
		Zone: ptr.Deref(e.Zone, ""), Node: ptr.Deref(e.NodeName, ""),
	}, err == nil
}

// usablePods are sorted, each address once. They are pods of this cluster, in no target's gift, so the
// local networks are where they belong; but what no connection of a client's could mean is left out.
func usablePods(pods []EgressPod) []EgressPod {
	usable := make([]EgressPod, 0, len(pods))
	for _, pod := range pods {
		if pod.IP = pod.IP.Unmap(); RefusedAddress(pod.IP, nil) == "" {
			usable = append(usable, pod)
		}
	}
	// Of two pods with one address the older is on its way out.
	slices.SortStableFunc(usable, func(a, b EgressPod) int {
		return cmp.Or(a.IP.Compare(b.IP), boolCompare(a.Terminating, b.Terminating), boolCompare(b.Ready, a.Ready), boolCompare(b.Serving, a.Serving),
			cmp.Compare(a.Node, b.Node), cmp.Compare(a.Zone, b.Zone))
	})
	return slices.CompactFunc(usable, func(a, b EgressPod) bool { return a.IP == b.IP })
}

// boolCompare puts false before true.
func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// egressWas says whether the slices let anybody through: then the gateway was alive, and the remote
// service ready.
func (p *pass) egressWas() bool {
	return slices.ContainsFunc(p.chunks(kindEgress), func(s *discoveryv1.EndpointSlice) bool {
		return slices.ContainsFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool {
			return ptr.Deref(e.Conditions.Ready, true) || ptr.Deref(e.Conditions.Serving, true)
		})
	})
}

// gatewayHealth is the verdict on a gateway as a whole: alive at one address is alive.
func (p *pass) gatewayHealth() Health {
	health := HealthDead
	if len(p.in.Gateway) == 0 {
		health = HealthUnknown // its names were not resolved yet
	}
	for _, a := range p.gatewayAddresses(nil) {
		switch {
		case p.refusesGateway(a.IP), a.Health == HealthDead:
		case a.Health == HealthAlive:
			return HealthAlive
		default:
			health = HealthUnknown
		}
	}
	return health
}

// followEgress updates the egress slices of a mirror that is kept, and deletes none.
func (p *pass) followEgress() {
	have := p.chunks(kindEgress)
	if len(have) == 0 {
		return
	}
	ready, wanted := p.keptReady(have), map[string]bool{}
	p.applySlices(p.egressSlices(p.own.Spec.Ports, ready), wanted)
	for _, slice := range have {
		if !wanted[slice.Name] {
			gone := p.egressTemplate(p.own.Spec.Ports, ready)
			gone.name, gone.addressType, gone.existing = slice.Name, slice.AddressType, slice
			p.applySlice(gone)
		}
	}
}

// egressExhausted is in the way of a mirror that cannot have a port for each of its ports.
func (p *pass) egressExhausted() *obstacle {
	if p.in.Egress.Lacks == EgressLimitNone || p.kindFor(p.mode()) != kindEgress {
		return nil
	}
	needed := len(p.in.Remote.Service.Spec.Ports)
	if p.in.Egress.Lacks == EgressLimitShare {
		return refused(v1alpha3.ReasonEgressPortsExhausted, "with the Service's %d ports the mirrors of Link %s would have more egress ports "+
			"than those of one Link may have: raise --max-egress-ports of the controller, or export fewer services of this target through its gateway",
			needed, p.in.Link.Name)
	}
	return refused(v1alpha3.ReasonEgressPortsExhausted, "the egress has no free port for each of the Service's %d ports: "+
		"widen --egress-ports of the controller, or export fewer services through gateways", needed)
}

// gatewayVerifiable says whether the egress can dial the Link's gateway: there is one, and a name to verify.
func (p *pass) gatewayVerifiable() bool {
	return p.in.Link.Gateway != nil && p.in.Link.Gateway.Identity != ""
}

// gatewayUnverifiable is in the way of a mirror that is to lead to the egress, which refuses every client
// rather than take whoever answers for the gateway (GW-10).
func (p *pass) gatewayUnverifiable() *obstacle {
	if p.kindFor(p.mode()) != kindEgress || p.gatewayVerifiable() {
		return nil
	}
	return refused(v1alpha3.ReasonGatewayIdentityMissing, "Link %s has no gatewayIdentity, and the egress dials no gateway that it cannot verify: "+
		"set gatewayIdentity in the Link to the name in the gateway's certificate", p.in.Link.Name)
}

// warnOfEgress tells of an egress that the mirror needs and that is not there.
func (p *pass) warnOfEgress() (message string, missing bool) {
	if len(p.pods) > 0 {
		return "", false
	}
	message = fmt.Sprintf("no pod of the egress is known by Service %s, and clients without a Linkerd proxy get to the gateway by it alone: "+
		"install the gateway's egress, or run the controller with --gateway-clients=mesh if clients have a proxy", p.in.Egress.Service)
	p.warn(v1alpha3.ReasonEgressMissing, message)
	return message, true
}
