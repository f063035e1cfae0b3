package mirror

import (
	"context"
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
	"github.com/linkspan/linkspan/pkg/mirror/ports"
)

// Egress is what is known of our egress in the local cluster.
type Egress interface {
	// List lists its pods.
	List(ctx context.Context) ([]plan.EgressPod, error)
}

// clientsOf says who dials the gateway of a Link.
func (r *Reconciler) clientsOf(l link.Link) link.Clients {
	switch {
	case l.GatewayClients != link.ClientsUnset:
		return l.GatewayClients
	case r.opts.GatewayClients != clientsAuto:
		return link.Clients(r.opts.GatewayClients)
	case r.meshes.any():
		return link.ClientsMesh
	default:
		return link.ClientsEgress
	}
}

// egressOf adds to an input what the plan needs to know of our egress: its pods, and the ports that the
// mirror has there. Where the mirror is going to need ports, they are given to it.
func (r *Reconciler) egressOf(ctx context.Context, mirror types.NamespacedName, in *plan.Input) error {
	in.Clients = r.clientsOf(in.Link)
	in.Egress.Service = r.opts.OwnNamespace + "/" + r.opts.EgressService
	wanted, told := in.Clients == link.ClientsEgress, toldPorts(in.Local.Service) != ""
	if !r.indexed() && (wanted || told) {
		return errStale // a port that is free as far as we know may be another mirror's
	}
	if !wanted {
		r.ports.Release(mirror)
	}
	in.Egress.Ports = r.ports.Held(mirror)
	if !wanted && !told && len(in.Egress.Ports) == 0 {
		return nil // nor is any left over: the usual case with a mesh
	}
	var err error
	if in.Egress.Pods, err = r.egress.List(ctx); err != nil {
		return err
	}
	r.portsOf(mirror, in)
	return nil
}

// portsOf gives a mirror the egress ports that it is going to need, or takes back those that it had.
func (r *Reconciler) portsOf(mirror types.NamespacedName, in *plan.Input) {
	if needed := plan.EgressPortsNeeded(*in); len(needed) > 0 {
		in.Egress.Ports, in.Egress.Lacks = r.ports.Assign(mirror, in.Link.Cluster, needed)
		return
	}
	// A mirror that is kept keeps its ports, whatever is in its way.
	elsewhere := in.Remote.State == plan.Present && in.Link.Mode(in.Remote.Service.Labels) != link.ModeGateway
	if in.Local.Service == nil || elsewhere {
		r.ports.Release(mirror)
		in.Egress.Ports = r.ports.Held(mirror)
	}
}

func wayOf(in plan.Input, epoch uint64) way {
	if in.Clients != link.ClientsEgress {
		epoch = 0
	}
	return way{epoch: epoch, clients: in.Clients, told: toldPorts(in.Local.Service)}
}

// toldPorts is what a mirror says of its egress ports; empty when it says nothing or does not exist.
func toldPorts(svc *corev1.Service) string {
	if svc == nil {
		return ""
	}
	return svc.Annotations[v1alpha3.AnnotationEgressPorts]
}

// EgressChanged wakes the mirrors that lead to our egress, like a change of their gateway: traffic may be
// going nowhere.
func (r *Reconciler) EgressChanged() {
	r.egressEpoch.Add(1)
	for _, l := range r.links.All() {
		if l.Gateway != nil && r.clientsOf(l) == link.ClientsEgress {
			r.add(0, l.Name, r.locals.keys(l.Cluster))
		}
	}
}

// claimed is told of a slice that changed, nil for none, and so which egress ports a mirror has. What the
// mirror itself says of its ports is not asked: more people may write Services than slices.
func (r *Reconciler) claimed(ctx context.Context, old, obj any) {
	before, after := provedBy(old), provedBy(obj)
	if before == after {
		return // the usual case: its endpoints changed
	}
	if before.Mirror != after.Mirror && before.Mirror.Name != "" {
		r.see(ctx, before.Mirror)
	}
	if after.Mirror.Name != "" {
		r.see(ctx, after.Mirror)
	}
}

// provedBy is empty where a slice does not lead to the egress.
func provedBy(obj any) link.EgressProof {
	slice, ok := last(obj).(*discoveryv1.EndpointSlice)
	if !ok {
		return link.EgressProof{}
	}
	proof, ok := link.ProvesEgress(slice)
	if !ok {
		return link.EgressProof{}
	}
	return proof
}

// see reads what the slices of a mirror say of its egress ports, and wakes the mirrors that claim the same.
func (r *Reconciler) see(ctx context.Context, mirror types.NamespacedName) {
	var list discoveryv1.EndpointSliceList
	if err := r.client.List(ctx, &list, client.InNamespace(mirror.Namespace), client.MatchingFields{sliceService: mirror.Name}); err != nil {
		if ctx.Err() == nil {
			r.log.Error(err, "Reading the slices of a mirror from the cache failed: its egress ports are not known", "mirror", mirror.String())
		}
		return
	}
	for _, rival := range r.ports.See(mirror, seenIn(list.Items)) {
		var other corev1.Service
		// One that the cache does not hold is being made, and looked at once it is.
		if err := r.client.Get(ctx, rival, &other); err != nil {
			continue
		}
		if k, ok := r.keyOf(&other); ok {
			r.queue.add(0, k)
		}
	}
}

// seenIn is what the slices of one mirror say of its egress ports.
func seenIn(found []discoveryv1.EndpointSlice) ports.Seen {
	seen := ports.Seen{Ports: plan.EgressPorts{}}
	for i := range found {
		proof, ok := link.ProvesEgress(&found[i])
		if !ok {
			continue
		}
		seen.Cluster = proof.Cluster
		if made := found[i].CreationTimestamp.Time; seen.Since.IsZero() || made.Before(seen.Since) {
			seen.Since = made
		}
		maps.Copy(seen.Ports, plan.ParseEgressPorts(proof.Ports))
	}
	return seen
}

// unclaimed is told of a mirror that is gone. What its slices lead to stays its own until they are gone too.
func (r *Reconciler) unclaimed(obj any) {
	if svc, ok := last(obj).(*corev1.Service); ok {
		r.ports.Release(client.ObjectKeyFromObject(svc))
	}
}

// portFreed wakes the services that wait for a free port of the egress. It has to rest first, and how long
// is what they find out now.
func (r *Reconciler) portFreed() {
	if waiting := r.outcomes.takePortless(); len(waiting) > 0 {
		r.queue.add(bulk, waiting...)
	}
}

// LacksIdentity says whether a Link's clients go through our egress, which dials no gateway without an
// identity, and the Link names none.
func (r *Reconciler) LacksIdentity(name link.Name) bool {
	l, ok := r.links.Get(name)
	return ok && l.Gateway != nil && l.Gateway.Identity == "" && r.clientsOf(l) == link.ClientsEgress
}

// meshes are the namespaces that a Linkerd control plane runs in.
type meshes struct {
	mu         sync.Mutex
	namespaces map[string]struct{}
}

func newMeshes() *meshes { return &meshes{namespaces: map[string]struct{}{}} }

func (m *meshes) any() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.namespaces) > 0
}

// set notes whether a control plane runs in a namespace, and says whether that changes the answer.
func (m *meshes) set(namespace string, controlPlane bool) (changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.namespaces) > 0
	if controlPlane {
		m.namespaces[namespace] = struct{}{}
	} else {
		delete(m.namespaces, namespace)
	}
	return before != (len(m.namespaces) > 0)
}

// meshSeen is told of a namespace, and wakes every mirror whose way to the gateway hangs on it.
func (r *Reconciler) meshSeen(obj any, gone bool) {
	namespace, ok := last(obj).(client.Object)
	if !ok || !r.meshes.set(namespace.GetName(), !gone && namespace.GetLabels()[v1alpha3.LabelIsControlPlane] == "true") ||
		r.opts.GatewayClients != clientsAuto {
		return
	}
	r.log.Info("A Linkerd control plane came or went", "namespace", namespace.GetName(), "present", r.meshes.any())
	for _, l := range r.links.All() {
		if l.Gateway != nil && l.GatewayClients == link.ClientsUnset {
			r.LinkChanged(l.Name)
		}
	}
}
