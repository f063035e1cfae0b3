package plan

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	discoveryv1ac "k8s.io/client-go/applyconfigurations/discovery/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// MaxEndpointsPerSlice keeps each write small; it is the EndpointSlice controller's default too.
const MaxEndpointsPerSlice = 100

// MaxSlicesPerMirror is the most slices of one mirror, unless more are needed for its endpoints.
const MaxSlicesPerMirror = 100

// MaxSlices is the most slices that one mirror may have in one mode: MaxSlicesPerMirror, or twice as
// many as MaxEndpoints need if that is more. Where endpoints have no limit, neither have the slices
// that hold some; empty ones then are made only while there are fewer than MaxSlicesPerMirror.
func (p Policy) MaxSlices() int {
	return max(MaxSlicesPerMirror, p.MaxEndpoints/MaxEndpointsPerSlice*2)
}

// sliceIntent is what one EndpointSlice should be.
type sliceIntent struct {
	name        string
	addressType discoveryv1.AddressType
	// annotations are without the hash.
	annotations map[string]string
	ports       []discoveryv1.EndpointPort
	endpoints   []discoveryv1.Endpoint
	// existing is the slice to update, nil when it is to be created.
	existing *discoveryv1.EndpointSlice
}

// reconcileSlices plans the slices of a mirror in a mode, and says whether they are settled: all in
// place, and as ready as they can be. Those of other kinds stay until then (MIR-12).
func (p *pass) reconcileSlices(mode link.Mode, ports []corev1.ServicePort) (settled bool) {
	var want []sliceIntent
	kind, remoteReady := p.kindFor(mode), RemoteReady(p.in.Remote.Slices)
	switch kind {
	case kindGateway:
		want = p.gatewaySlices(ports, remoteReady)
		settled = p.gatewayJudged(want)
	case kindEgress:
		want, settled = p.egressIntents(ports, remoteReady)
	case kindDirect:
		want, settled = p.directSlices(), true
	}
	wanted := map[string]bool{}
	if p.applySlices(want, wanted) {
		settled = false
	}
	if !settled {
		p.holdOthers(kind, ports, remoteReady, wanted)
	}
	for _, slice := range p.slices {
		if !wanted[slice.Name] {
			p.deleteSlice(slice)
		}
	}
	return settled
}

// holdOthers keeps the slices of other kinds, which serve until those of the mirror's kind do. It adds
// their names to wanted.
func (p *pass) holdOthers(kind sliceKind, ports []corev1.ServicePort, remoteReady bool, wanted map[string]bool) {
	if kind == kindDirect {
		// Only until the next pass, so they stay as they are.
		for _, slice := range p.slices {
			wanted[slice.Name] = wanted[slice.Name] || p.kindOf(slice.Name) != kindDirect
		}
		return
	}
	// Verdicts and pods may be waited for a while, and what is led to comes and goes meanwhile. The limit
	// is one for each kind: counted together, the new endpoints could push out the old ones.
	if p.has(kindDirect) {
		p.used = 0
		p.applySlices(p.directSlices(), wanted)
	}
	switch {
	case kind == kindEgress && p.has(kindGateway):
		p.used = 0
		p.applySlices(p.gatewaySlices(ports, remoteReady), wanted)
	case kind == kindGateway && p.has(kindEgress):
		p.applySlices(p.egressSlices(ports, remoteReady), wanted)
	}
}

// applySlices plans the writes of several slices and adds their names to wanted.
func (p *pass) applySlices(intents []sliceIntent, wanted map[string]bool) (changed bool) {
	for i := range intents {
		wanted[intents[i].name] = true
		if p.applySlice(intents[i]) {
			changed = true
		}
	}
	return changed
}

// sliceKind says what the endpoints of a slice are.
type sliceKind int

const (
	// kindDirect: the remote pods.
	kindDirect sliceKind = iota
	// kindGateway: the addresses of the target's gateway.
	kindGateway
	// kindEgress: the pods of our own egress.
	kindEgress
)

// kindFor is the kind of slices that a mirror has in a mode.
func (p *pass) kindFor(mode link.Mode) sliceKind {
	switch {
	case mode != link.ModeGateway:
		return kindDirect
	case p.in.Clients == link.ClientsEgress:
		return kindEgress
	default:
		return kindGateway
	}
}

// kindOf tells by a slice's name. What a target chooses is never in it but as a digest.
func (p *pass) kindOf(name string) sliceKind {
	switch {
	case strings.HasPrefix(name, p.mirror+"-gateway-"):
		return kindGateway
	case strings.HasPrefix(name, p.mirror+"-egress-"):
		return kindEgress
	default:
		return kindDirect
	}
}

// chunks are our existing slices of a kind.
func (p *pass) chunks(kind sliceKind) []*discoveryv1.EndpointSlice {
	var have []*discoveryv1.EndpointSlice
	for _, slice := range p.slices {
		if p.kindOf(slice.Name) == kind {
			have = append(have, slice)
		}
	}
	return have
}

func (p *pass) has(kind sliceKind) bool {
	return slices.ContainsFunc(p.slices, func(s *discoveryv1.EndpointSlice) bool { return p.kindOf(s.Name) == kind })
}

// sliceMetadata is all of a slice's intent but its endpoints.
type sliceMetadata struct {
	Labels      map[string]string
	Annotations map[string]string
	Ports       []discoveryv1.EndpointPort
}

// applySlice plans a slice's write, if it is not what it should be. The hash leaves out endpoints:
// they are compared exactly, and hashing hundreds in every pass would cost more than that.
func (p *pass) applySlice(intent sliceIntent) (changed bool) {
	labels := map[string]string{
		v1alpha3.LabelMirroredService: labelTrue,
		v1alpha3.LabelClusterName:     p.in.Link.Cluster,
		discoveryv1.LabelServiceName:  p.mirror,
		discoveryv1.LabelManagedBy:    v1alpha3.SliceManagedBy,
	}
	annotations := maps.Clone(intent.annotations)
	annotations[v1alpha3.AnnotationAppliedHash] = hashOf(sliceMetadata{labels, intent.annotations, intent.ports})

	if have := intent.existing; have != nil && contains(have.Labels, labels) && contains(have.Annotations, annotations) &&
		portsEqual(have.Ports, intent.ports) && endpointsEqual(have.Endpoints, intent.endpoints) {
		return false
	}
	ac := discoveryv1ac.EndpointSlice(intent.name, p.in.Namespace).
		WithLabels(labels).WithAnnotations(annotations).WithAddressType(intent.addressType)
	if intent.existing != nil {
		ac.WithUID(intent.existing.UID)
	}
	for i := range intent.ports {
		ac.WithPorts(portIntent(&intent.ports[i]))
	}
	for i := range intent.endpoints {
		ac.WithEndpoints(endpointIntent(&intent.endpoints[i]))
	}
	p.plan.Slices = append(p.plan.Slices, ac)
	p.ready[intent.name] = anyReady(intent.endpoints)
	return true
}

func portIntent(port *discoveryv1.EndpointPort) *discoveryv1ac.EndpointPortApplyConfiguration {
	return &discoveryv1ac.EndpointPortApplyConfiguration{
		Name: port.Name, Protocol: port.Protocol, Port: port.Port, AppProtocol: port.AppProtocol,
	}
}

func endpointIntent(e *discoveryv1.Endpoint) *discoveryv1ac.EndpointApplyConfiguration {
	ac := &discoveryv1ac.EndpointApplyConfiguration{Addresses: e.Addresses, Hostname: e.Hostname, Zone: e.Zone, NodeName: e.NodeName}
	if c := e.Conditions; c != (discoveryv1.EndpointConditions{}) {
		ac.Conditions = &discoveryv1ac.EndpointConditionsApplyConfiguration{
			Ready: c.Ready, Serving: c.Serving, Terminating: c.Terminating,
		}
	}
	return ac
}

func (p *pass) deleteSlice(slice *discoveryv1.EndpointSlice) {
	p.deleted[slice.Name] = true
	if slice.DeletionTimestamp == nil {
		p.plan.DeleteSlices = append(p.plan.DeleteSlices, Ref{Namespace: slice.Namespace, Name: slice.Name, UID: slice.UID})
	}
}

// asItIs is the intent that an existing slice of ours expresses.
func (p *pass) asItIs(slice *discoveryv1.EndpointSlice) sliceIntent {
	intent := sliceIntent{
		name: slice.Name, addressType: slice.AddressType, existing: slice,
		ports:       p.directPorts(slice.Ports),
		annotations: map[string]string{v1alpha3.AnnotationRemoteServiceFQName: p.fqName},
	}
	for _, key := range [...]string{v1alpha3.AnnotationRemoteReady, v1alpha3.AnnotationRemoteGatewayIdentity} {
		if value, ok := slice.Annotations[key]; ok {
			intent.annotations[key] = value
		}
	}
	for i := range slice.Endpoints {
		if ips := p.permitted(slice.AddressType, slice.Endpoints[i].Addresses); len(ips) > 0 {
			intent.endpoints = append(intent.endpoints, cleaned(&slice.Endpoints[i], ips))
		}
	}
	return intent
}
