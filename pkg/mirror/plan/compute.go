package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	discoveryv1ac "k8s.io/client-go/applyconfigurations/discovery/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// Compute says what must be written and deleted in the local cluster for one exported service. It is
// pure and total: any input gives a plan, and the input is not changed.
func Compute(in Input) Plan {
	p := newPass(in)
	switch {
	case in.Link.Deleting:
		p.remove("its Link is being deleted")
	case p.remoteState() == Absent:
		p.remove("it is no longer exported")
	case p.remoteState() == Present:
		p.present()
	default:
		p.unknown()
	}
	p.unselect()
	return p.finish()
}

// pass is one computation: the input, what follows from it at once, and the plan so far.
type pass struct {
	in Input
	// mirror is the mirror's name and fqName the remote Service's name in the target's DNS.
	mirror string
	fqName string
	// own is the mirror, nil when there is none that is ours; conflict is true when the name is
	// taken by something else.
	own      *corev1.Service
	conflict bool
	// slices are those that we made, sorted by name; named holds everybody's.
	slices []*discoveryv1.EndpointSlice
	named  map[string]*discoveryv1.EndpointSlice

	plan Plan
	// ready is the readiness of each slice that the plan applies, deleted the slices it deletes.
	ready   map[string]bool
	deleted map[string]bool
	// metadata and endpoints count what was left out of the mirror, and why.
	metadata  tally
	endpoints tally
	// used counts addresses against Policy.MaxEndpoints.
	used int
	// claimed are the names that slices of this plan have: no two may share one.
	claimed map[string]bool
	// refusedGateway are the gateway's addresses that were counted in endpoints.
	refusedGateway map[netip.Addr]bool
	// pods are those of the egress that may be listed, sorted, each address once.
	pods []EgressPod
}

func newPass(in Input) *pass {
	p := &pass{
		in:      in,
		mirror:  in.Link.MirrorName(in.Name),
		fqName:  in.Link.RemoteFQName(in.Namespace, in.Name),
		named:   make(map[string]*discoveryv1.EndpointSlice, len(in.Local.Slices)),
		ready:   map[string]bool{},
		deleted: map[string]bool{},
		claimed: map[string]bool{},

		refusedGateway: map[netip.Addr]bool{},
		pods:           usablePods(in.Egress.Pods),
	}
	switch svc := in.Local.Service; {
	case in.Local.Foreign:
		p.conflict = true
	case svc != nil && Owned(svc, in.Link, in.Namespace, in.Name):
		p.own = svc
	case svc != nil:
		p.conflict = true
	}
	for _, slice := range in.Local.Slices {
		if slice == nil {
			continue
		}
		p.named[slice.Name] = slice
		if p.ownsSlice(slice) {
			p.slices = append(p.slices, slice)
		}
	}
	slices.SortFunc(p.slices, func(a, b *discoveryv1.EndpointSlice) int { return strings.Compare(a.Name, b.Name) })
	return p
}

// remoteState is what the target says of the service as far as this Link is concerned: one that
// neither selector picks is absent to it.
func (p *pass) remoteState() RemoteState {
	switch remote := p.in.Remote; {
	case remote.State == Absent:
		return Absent
	case remote.State == Present && remote.Service != nil:
		if p.mode() == link.ModeNone {
			return Absent
		}
		return Present
	default:
		return Unknown
	}
}

// mode is how the remote Service asks to be mirrored.
func (p *pass) mode() link.Mode { return p.in.Link.Mode(p.in.Remote.Service.Labels) }

// remove deletes the mirror and its slices. Slices go even where the Service is not ours: they would
// lead somebody else's clients to the target.
func (p *pass) remove(why string) {
	for _, slice := range p.slices {
		p.deleteSlice(slice)
	}
	if p.own == nil {
		p.plan.Outcome = Outcome{State: StateNone}
		return
	}
	p.plan.Outcome = Outcome{
		State: StateDeleting, Mode: modeOf(p.own), Reason: v1alpha3.ReasonDeleting,
		Message: fmt.Sprintf("the mirror is being deleted because %s", why),
	}
	if p.own.DeletionTimestamp != nil {
		return
	}
	p.plan.DeleteService = &Ref{Namespace: p.own.Namespace, Name: p.own.Name, UID: p.own.UID}
	p.tell(v1alpha3.ReasonMirrorDeleted, fmt.Sprintf("deleted the mirror %s of %s because %s", p.mirror, p.fqName, why))
}

// unknown keeps what there is; only the gateway's part of it may change (LESSON-4).
func (p *pass) unknown() {
	if p.own == nil {
		p.plan.Outcome = Outcome{State: StateNone}
		return
	}
	p.keep()
	p.plan.Outcome = Outcome{
		State: StateKept, Mode: modeOf(p.own), Reason: v1alpha3.ReasonMirrored,
		Message: "the target does not say whether the service is still exported: the mirror is kept",
	}
}

// present refuses, waits or mirrors.
func (p *pass) present() {
	if o := p.obstacle(); o != nil {
		p.plan.Outcome = Outcome{State: o.state, Mode: p.mode(), Reason: o.reason, Message: o.message}
		p.warn(o.reason, o.message)
		switch {
		case p.conflict:
			for _, slice := range p.slices {
				p.deleteSlice(slice)
			}
		case p.own != nil && o.state == StateRefused:
			p.keep()
			p.plan.Outcome.Mode = modeOf(p.own)
		}
		return
	}
	if p.in.LocalNamespace == NamespaceMissing {
		p.plan.CreateNamespace = p.in.Namespace
	}
	mode := p.mode()
	settled := p.reconcileSlices(mode, p.in.Remote.Service.Spec.Ports)
	p.applyService(mode, settled)
	p.plan.Outcome = Outcome{
		State: StateMirrored, Mode: mode, Reason: v1alpha3.ReasonMirrored,
		Message: fmt.Sprintf("mirrored as %s", p.mirror),
	}
	if p.kindFor(mode) != kindEgress {
		return
	}
	if message, missing := p.warnOfEgress(); missing {
		p.plan.Outcome.State, p.plan.Outcome.Reason, p.plan.Outcome.Message = StateWaiting, v1alpha3.ReasonEgressMissing, message
	}
}

// keep leaves a mirror as it is. Its endpoints still follow the gateway and the egress, and the remote slices while
// those are known: addresses of pods that are gone are soon those of others.
func (p *pass) keep() {
	switch {
	case p.own.DeletionTimestamp != nil:
	case modeOf(p.own) == link.ModeGateway:
		p.followGateway()
		p.followEgress()
		if p.in.Clients == link.ClientsEgress {
			p.warnOfEgress()
		}
	case p.remoteState() == Present && p.own.Annotations[v1alpha3.AnnotationAppliedHash] != "":
		p.reconcileSlices(link.ModeRemoteDiscovery, p.own.Spec.Ports)
	}
}

func (p *pass) finish() Plan {
	if !p.endpoints.empty() {
		p.warn(v1alpha3.ReasonEndpointsDropped, "endpoints were left out of the mirror, so no traffic goes to them: "+
			p.endpoints.String()+"; correct the target's EndpointSlices, the Link's gatewayAddress, or this installation's limits and local networks")
	}
	if !p.metadata.empty() {
		p.warn(v1alpha3.ReasonMetadataDropped, "labels or annotations were left out of the mirror: "+
			p.metadata.String()+"; shorten or correct them on the exported Service, or exclude them in the Link")
	}
	// What becomes ready is written before what ceases to be: endpoints that move from one slice to another
	// leave no moment without any.
	slices.SortStableFunc(p.plan.Slices, func(a, b *discoveryv1ac.EndpointSliceApplyConfiguration) int {
		return boolCompare(p.ready[*b.Name], p.ready[*a.Name])
	})
	p.plan.Outcome.Ready = p.readyAfter()
	p.plan.Outcome.Message = bounded(p.plan.Outcome.Message)
	for i := range p.plan.Events {
		p.plan.Events[i].Message = bounded(p.plan.Events[i].Message)
	}
	return p.plan
}

// readyAfter says whether the mirror has a ready endpoint, anybody's, once the plan is applied.
func (p *pass) readyAfter() bool {
	if (p.own == nil && p.plan.Service == nil) || p.plan.DeleteService != nil {
		return false
	}
	for _, ready := range p.ready {
		if ready {
			return true
		}
	}
	for name, slice := range p.named {
		if p.remains(name, slice) && anyReady(slice.Endpoints) {
			return true
		}
	}
	return false
}

// remains says whether a slice of the mirror stays as it is.
func (p *pass) remains(name string, slice *discoveryv1.EndpointSlice) bool {
	_, applied := p.ready[name]
	return slice.Labels[discoveryv1.LabelServiceName] == p.mirror &&
		!applied && !p.deleted[name] && !p.goesWithEndpoints(slice)
}

// managedByMirroring marks the slices that Kubernetes makes of an Endpoints object, and deletes with it.
const managedByMirroring = "endpointslicemirroring-controller.k8s.io"

func (p *pass) goesWithEndpoints(slice *discoveryv1.EndpointSlice) bool {
	return p.plan.Adopt != nil && p.plan.Adopt.RemoveEndpoints &&
		slice.Labels[discoveryv1.LabelManagedBy] == managedByMirroring
}

func (p *pass) warn(reason, message string) {
	p.plan.Events = append(p.plan.Events, Event{Warning: true, Reason: reason, Message: message})
}

func (p *pass) tell(reason, message string) {
	p.plan.Events = append(p.plan.Events, Event{Reason: reason, Message: message})
}
