package plan_test

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	discoveryv1ac "k8s.io/client-go/applyconfigurations/discovery/v1"
	"k8s.io/utils/ptr"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// maxRounds is how often a plan may have to be computed and applied until nothing is left to do.
const maxRounds = 4

// changes is how much happens to a world.
const changes = 8

// FuzzCompute runs a world of one mirror through a few changes of everything that a plan depends on,
// applies each plan to a stand-in for the local cluster, and holds every plan against the properties
// of the architecture's first decision.
func FuzzCompute(f *testing.F) {
	for seed := range seeds(400) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) { run(t, &source{data: data}) })
}

// FuzzWays does the same in worlds where little is refused, so that the ways from one kind of slices to
// another are gone often: through gateways, through the egress and pod to pod.
func FuzzWays(f *testing.F) {
	for seed := range seeds(150) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) { run(t, &source{data: data, calm: true}) })
}

func seeds(n int) iter.Seq[[]byte] {
	r := rand.New(rand.NewPCG(1, 2))
	return func(yield func([]byte) bool) {
		for range n {
			seed := make([]byte, 40+r.IntN(1200))
			for i := range seed {
				seed[i] = byte(r.Uint32())
			}
			if !yield(seed) {
				return
			}
		}
	}
}

func run(t *testing.T, s *source) {
	w := newWorld(t, s)
	for range changes {
		w.round()
		w.change()
	}
	w.round()
}

// world is an input that changes, and the cluster that its plans are applied to.
type world struct {
	t       *testing.T
	s       *source
	in      plan.Input
	cluster *cluster
	// others are the objects that are not this Link's mirror, as they were made: nothing may touch them.
	otherService *corev1.Service
	otherSlices  map[string]*discoveryv1.EndpointSlice
}

func newWorld(t *testing.T, s *source) *world {
	w := &world{t: t, s: s, in: s.input(), otherSlices: map[string]*discoveryv1.EndpointSlice{}}
	local := s.local(w.in)
	w.cluster = newCluster(local)
	if local.Service != nil && !plan.Owned(local.Service, w.in.Link, w.in.Namespace, w.in.Name) {
		w.otherService = local.Service.DeepCopy()
	}
	for _, slice := range local.Slices {
		if slice.Labels[discoveryv1.LabelManagedBy] != v1alpha3.SliceManagedBy {
			w.otherSlices[slice.Name] = slice.DeepCopy()
		}
	}
	w.cluster.namespaceExists = w.in.LocalNamespace != plan.NamespaceMissing
	return w
}

// round computes and applies until there is nothing left to do.
func (w *world) round() {
	t := w.t
	before := w.cluster.ready()
	gapless := w.mayNotGap()
	w.cluster.step = func() {
		if gapless && before && !w.cluster.ready() {
			t.Fatalf("MIR-12: a mirror that was ready has no ready endpoint for a moment")
		}
	}
	for round := 0; ; round++ {
		w.in.Local = w.cluster.local()
		p := w.compute()
		if p.Empty() {
			break
		}
		if round == maxRounds {
			t.Fatalf("not settled after %d rounds: %s", round, describe(p))
		}
		if err := w.cluster.apply(p); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if got := w.mirrorExists() && w.cluster.ready(); got != p.Outcome.Ready {
			t.Fatalf("outcome says ready %t, applied it is %t: %s", p.Outcome.Ready, got, describe(p))
		}
		if w.cluster.namespaceExists && w.in.LocalNamespace == plan.NamespaceMissing {
			w.in.LocalNamespace = plan.NamespaceActive
		}
	}
	w.checkOthers()
	w.checkFresh()
}

// compute checks everything that one plan can be held against.
func (w *world) compute() plan.Plan {
	t := w.t
	before := copyInput(w.in)
	p := plan.Compute(w.in)
	if !reflect.DeepEqual(before, w.in) {
		t.Fatalf("Compute changed its input (-before +after):\n%s", cmp.Diff(before, w.in, inputOptions))
	}
	if again := plan.Compute(w.in); !reflect.DeepEqual(p, again) {
		t.Fatalf("Compute is not deterministic:\n%s", cmp.Diff(p, again))
	}
	w.checkTargets(p)
	w.checkUnknown(p)
	w.checkAddresses(p)
	w.checkVerdicts(p)
	w.checkEgress(p)
	w.checkAdoption(p)
	w.checkModes(p)
	reasons := map[string]bool{}
	for _, e := range p.Events {
		if reasons[e.Reason] || e.Message == "" {
			t.Fatalf("event reason %s twice, or without a message", e.Reason)
		}
		reasons[e.Reason] = true
	}
	return p
}

// checkTargets: nothing without our labels is deleted or overwritten (LESSON-8).
func (w *world) checkTargets(p plan.Plan) {
	local := w.in.Local
	checkService := func(name string, uid string) {
		if s := local.Service; s == nil || s.Name != name || string(s.UID) != uid ||
			!plan.Owned(s, w.in.Link, w.in.Namespace, w.in.Name) {
			w.t.Fatalf("the plan touches Service %s, which is not ours", name)
		}
	}
	if ref := p.DeleteService; ref != nil {
		checkService(ref.Name, string(ref.UID))
	}
	if s := p.Service; s != nil && s.UID != nil {
		checkService(*s.Name, string(*s.UID))
	}
	if p.Service != nil && local.Foreign {
		w.t.Fatalf("the plan writes to a name that is taken")
	}
	ours := map[string]bool{}
	for _, s := range local.Slices {
		ours[string(s.UID)] = s.Labels[discoveryv1.LabelManagedBy] == v1alpha3.SliceManagedBy &&
			s.Labels[v1alpha3.LabelMirroredService] == "true" && s.Labels[v1alpha3.LabelClusterName] == w.in.Link.Cluster
	}
	for _, ref := range p.DeleteSlices {
		if !ours[string(ref.UID)] {
			w.t.Fatalf("the plan deletes slice %s, which is not ours", ref.Name)
		}
	}
	applied := map[string]bool{}
	for _, s := range p.Slices {
		if s.UID != nil && !ours[string(*s.UID)] {
			w.t.Fatalf("the plan overwrites slice %s, which is not ours", *s.Name)
		}
		if applied[*s.Name] {
			w.t.Fatalf("two slices of the plan have the name %s", *s.Name)
		}
		applied[*s.Name] = true
	}
}

// checkUnknown: without word from the target nothing is deleted, and only slices that lead to the
// gateway, by itself or by the egress, may change.
func (w *world) checkUnknown(p plan.Plan) {
	if w.in.Remote.State != plan.Unknown || w.in.Link.Deleting {
		return
	}
	if p.Service != nil || p.DeleteService != nil || len(p.DeleteSlices) > 0 || p.Adopt != nil || p.CreateNamespace != "" {
		w.t.Fatalf("the target is unknown and yet: %s", describe(p))
	}
	for _, s := range p.Slices {
		if !isGateway(*s.Name) && !isEgress(*s.Name) {
			w.t.Fatalf("the target is unknown and yet slice %s changes", *s.Name)
		}
	}
}

// checkAddresses: no address of this cluster's own networks ever leaves it, limits hold. Pods of the
// egress are of this cluster, and in no target's gift.
func (w *world) checkAddresses(p plan.Plan) {
	own := netip.MustParsePrefix("10.96.0.0/16")
	count := 0
	for _, s := range p.Slices {
		for _, e := range s.Endpoints {
			for _, text := range e.Addresses {
				ip, err := netip.ParseAddr(text)
				if isEgress(*s.Name) {
					if err != nil || plan.RefusedAddress(ip, nil) != "" {
						w.t.Fatalf("address %s in slice %s", text, *s.Name)
					}
					continue
				}
				count++
				if err != nil || ip.Unmap().IsLoopback() || ip.IsUnspecified() || ip.Unmap().IsLinkLocalUnicast() ||
					ip.Unmap().IsMulticast() || own.Contains(ip.Unmap()) || ip.Zone() != "" || ip.Is4In6() {
					w.t.Fatalf("address %s in slice %s", text, *s.Name)
				}
			}
		}
	}
	// Two modes while one replaces the other.
	if limit := w.in.Policy.MaxEndpoints; limit > 0 && count > 2*limit {
		w.t.Fatalf("%d addresses, the limit is %d", count, limit)
	}
}

// checkVerdicts: a gateway slice says what the probe found, and without a verdict what it said before
// (LESSON-3, LESSON-22, LESSON-30).
func (w *world) checkVerdicts(p plan.Plan) {
	verdict := map[string]plan.Health{}
	for _, a := range oneVerdict(w.in.Gateway) {
		verdict[a.IP.String()] = a.Health
	}
	was := map[string]bool{}
	for _, s := range w.in.Local.Slices {
		for _, e := range s.Endpoints {
			if isGateway(s.Name) && s.Labels[discoveryv1.LabelManagedBy] == v1alpha3.SliceManagedBy {
				was[e.Addresses[0]] = was[e.Addresses[0]] || e.Conditions.Ready == nil || *e.Conditions.Ready
			}
		}
	}
	for _, s := range p.Slices {
		for _, e := range s.Endpoints {
			if !isGateway(*s.Name) {
				continue
			}
			address, ready := e.Addresses[0], *e.Conditions.Ready
			health, known := verdict[address]
			remote := s.Annotations[v1alpha3.AnnotationRemoteReady] == "true"
			gone := !known && len(w.in.Gateway) > 0 && (!w.verdictsAwaited() || !was[address])
			switch {
			case w.in.Link.Gateway == nil && !ready:
			case w.in.Link.Gateway == nil, ready && !remote, gone,
				ready && health == plan.HealthDead, !ready && health == plan.HealthAlive && remote,
				(health == plan.HealthUnknown || !known) && ready != (was[address] && remote):
				w.t.Fatalf("address %s is ready %t; gateway %s, remote %t, before %t", address, ready, health, remote, was[address])
			}
		}
	}
}

// verdictsAwaited: the gateway has addresses, and not one has a verdict.
func (w *world) verdictsAwaited() bool {
	usable := slices.DeleteFunc(slices.Clone(w.in.Gateway), func(a plan.GatewayAddress) bool {
		return plan.RefusedAddress(a.IP.Unmap(), w.in.Policy.LocalNetworks) != ""
	})
	return len(usable) > 0 && !slices.ContainsFunc(usable, func(a plan.GatewayAddress) bool { return a.Health != plan.HealthUnknown })
}

func isGateway(slice string) bool { return strings.Contains(slice, "-gateway-ipv") }

func isEgress(slice string) bool { return strings.Contains(slice, "-egress-ipv") }

// kind of a slice, and kind that a mirror's slices are to be.
func kind(slice string) string {
	switch {
	case isGateway(slice):
		return "gateway"
	case isEgress(slice):
		return "egress"
	default:
		return "direct"
	}
}

func (w *world) kind(mode link.Mode) string {
	switch {
	case mode != link.ModeGateway:
		return "direct"
	case w.in.Clients == link.ClientsEgress:
		return "egress"
	default:
		return "gateway"
	}
}

// gatewayHealth: alive at one address is alive.
func (w *world) gatewayHealth() plan.Health {
	health := plan.HealthDead
	if len(w.in.Gateway) == 0 {
		health = plan.HealthUnknown
	}
	for _, a := range oneVerdict(w.in.Gateway) {
		switch {
		case plan.RefusedAddress(a.IP, w.in.Policy.LocalNetworks) != "" || a.Health == plan.HealthDead:
		case a.Health == plan.HealthAlive:
			return plan.HealthAlive
		default:
			health = plan.HealthUnknown
		}
	}
	return health
}

// takesClients says whether an address is that of an egress pod which takes new clients, and
// whether it is listed.
func (w *world) takesClients(address string) (takes, listed bool) {
	for _, pod := range w.in.Egress.Pods {
		if pod.IP.Unmap().String() == address {
			takes, listed = takes || (pod.Ready && !pod.Terminating), true
		}
	}
	return takes, listed
}

func (w *world) podsUsable() bool {
	return slices.ContainsFunc(w.in.Egress.Pods, func(pod plan.EgressPod) bool { return plan.RefusedAddress(pod.IP.Unmap(), nil) == "" })
}

// checkEgress: a slice that leads to the egress names pods that are listed, ready ones where the gateway
// is alive and can be verified and the remote service ready, and ports that are the mirror's, which its
// annotation says as well (SEC-4); none names a gateway's identity,
// and no mirror that serves otherwise leads to pods that its annotation has not told (MIR-12).
func (w *world) checkEgress(p plan.Plan) {
	was, before := false, false
	for _, s := range w.in.Local.Slices {
		if !isEgress(s.Name) || s.Labels[discoveryv1.LabelManagedBy] != v1alpha3.SliceManagedBy ||
			s.Labels[v1alpha3.LabelClusterName] != w.in.Link.Cluster {
			continue
		}
		before = true
		for _, e := range s.Endpoints {
			was = was || e.Conditions.Ready == nil || *e.Conditions.Ready || e.Conditions.Serving == nil || *e.Conditions.Serving
		}
	}
	for _, s := range p.Slices {
		if !isEgress(*s.Name) {
			continue
		}
		if identity, ok := s.Annotations[v1alpha3.AnnotationRemoteGatewayIdentity]; ok {
			w.t.Fatalf("slice %s names the identity %q", *s.Name, identity)
		}
		proved := slices.Collect(maps.Values(plan.ParseEgressPorts(s.Annotations[v1alpha3.AnnotationEgressPorts])))
		for _, port := range s.Ports {
			if !slices.Contains(slices.Collect(maps.Values(w.in.Egress.Ports)), uint16(*port.Port)) {
				w.t.Fatalf("slice %s has port %d, which the mirror does not have", *s.Name, *port.Port)
			}
			if len(proved) != len(s.Ports) || !slices.Contains(proved, uint16(*port.Port)) {
				w.t.Fatalf("slice %s leads to port %d, and proves %v", *s.Name, *port.Port, proved)
			}
		}
		if own := w.in.Local.Service; own != nil && !before && own.Annotations[v1alpha3.AnnotationEgressPorts] !=
			w.in.Egress.Ports.Of(w.in.Remote.Service.Spec.Ports).String() {
			w.t.Fatalf("slice %s leads to pods that the mirror's annotation does not tell", *s.Name)
		}
		remote := s.Annotations[v1alpha3.AnnotationRemoteReady] == "true"
		for _, e := range s.Endpoints {
			w.checkPod(e, remote, was)
		}
	}
}

func (w *world) checkPod(e discoveryv1ac.EndpointApplyConfiguration, remote, was bool) {
	takes, listed := w.takesClients(e.Addresses[0])
	health := w.gatewayHealth()
	open := w.in.Link.Gateway != nil && w.in.Link.Gateway.Identity != "" && remote && (health == plan.HealthAlive || (health == plan.HealthUnknown && was))
	ready, serving := *e.Conditions.Ready, *e.Conditions.Serving
	switch {
	case (ready || serving) && !open,
		ready && *e.Conditions.Terminating,
		w.podsUsable() && (!listed || ready != (takes && open)):
		w.t.Fatalf("pod %s is ready %t, serving %t; gateway %s, remote %t, before %t, takes clients %t, listed %t",
			e.Addresses[0], ready, serving, health, remote, was, takes, listed)
	}
}

// checkAdoption: the hash that ends an adoption comes with the end of the Endpoints, which comes when
// nothing else is left to be done, and takes no ready endpoint away before there is one of ours.
func (w *world) checkAdoption(p plan.Plan) {
	adopted := slices.ContainsFunc(p.Events, func(e plan.Event) bool { return e.Reason == v1alpha3.ReasonMirrorAdopted })
	if p.Adopt == nil {
		if adopted {
			w.t.Fatal("MirrorAdopted without adoption")
		}
		return
	}
	ends := p.Adopt.RemoveEndpoints
	hash := p.Service != nil && p.Service.Annotations[v1alpha3.AnnotationAppliedHash] != ""
	if p.Service == nil || hash != ends || adopted != ends || (ends && len(p.Slices) > 0) {
		w.t.Fatalf("adoption: removes Endpoints %t, hash %t, event %t, %d slices", ends, hash, adopted, len(p.Slices))
	}
	if ends && linkerdsAlone(w.in) {
		w.t.Fatal("adoption: the Endpoints go, and none of ours is ready")
	}
}

// linkerdsAlone says whether the Endpoints of Linkerd's controller may lead to the service, and no slice of ours is ready.
func linkerdsAlone(in plan.Input) bool {
	for _, s := range in.Local.Slices {
		if s.Labels[discoveryv1.LabelManagedBy] == v1alpha3.SliceManagedBy && plan.RemoteReady([]*discoveryv1.EndpointSlice{s}) {
			return false
		}
	}
	leads := func(s *discoveryv1.EndpointSlice, a plan.GatewayAddress) bool {
		return plan.RefusedAddress(a.IP.Unmap(), in.Policy.LocalNetworks) == "" &&
			slices.ContainsFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool {
				return ptr.Deref(e.Conditions.Ready, true) && slices.Contains(e.Addresses, a.IP.Unmap().String())
			})
	}
	return plan.RemoteReady(in.Remote.Slices) && slices.ContainsFunc(in.Local.Slices, func(s *discoveryv1.EndpointSlice) bool {
		return s.Labels[discoveryv1.LabelManagedBy] == "endpointslicemirroring-controller.k8s.io" &&
			slices.ContainsFunc(in.Gateway, func(a plan.GatewayAddress) bool { return leads(s, a) })
	})
}

// checkModes: slices of the old mode stay until those of the new one are seen to be there (MIR-12).
// Pods that the target no longer has go at once.
func (w *world) checkModes(p plan.Plan) {
	made := slices.ContainsFunc(p.Slices, func(s *discoveryv1ac.EndpointSliceApplyConfiguration) bool {
		return s.UID == nil && kind(*s.Name) == w.kind(p.Outcome.Mode)
	})
	if !made || w.in.Remote.State != plan.Present || w.in.Link.Deleting {
		return
	}
	alive := map[string]bool{}
	for _, s := range w.in.Remote.Slices {
		for _, e := range s.Endpoints {
			alive[e.Addresses[0]] = s.AddressType == discoveryv1.AddressTypeIPv4
		}
	}
	for _, s := range p.Slices {
		for _, e := range s.Endpoints {
			delete(alive, e.Addresses[0])
		}
	}
	deleted := map[string]bool{}
	for _, ref := range p.DeleteSlices {
		deleted[ref.Name] = true
	}
	for _, s := range w.in.Local.Slices {
		for _, e := range s.Endpoints {
			if !deleted[s.Name] {
				delete(alive, e.Addresses[0]) // of two slices with one pod, the other stays
			}
		}
	}
	for _, s := range w.in.Local.Slices {
		for _, e := range s.Endpoints {
			if deleted[s.Name] && p.Outcome.Mode == link.ModeGateway && kind(s.Name) == "direct" && alive[e.Addresses[0]] && w.in.Policy.MaxEndpoints == 0 {
				w.t.Fatalf("%s of slice %s goes in the plan that makes the gateway's slices", e.Addresses[0], s.Name)
			}
		}
		if deleted[s.Name] && kind(s.Name) != "direct" && kind(s.Name) != w.kind(p.Outcome.Mode) && w.stillLeads(s, p.Outcome.Mode) {
			w.t.Fatalf("slice %s goes in the plan that makes those of the mode", s.Name)
		}
	}
}

// stillLeads says whether a slice of another kind than the mirror's leads anywhere yet. One whose name
// and family disagree was never ours to begin with.
func (w *world) stillLeads(s *discoveryv1.EndpointSlice, mode link.Mode) bool {
	if strings.HasSuffix(s.Name, "ipv6") && s.AddressType == discoveryv1.AddressTypeIPv4 {
		return false
	}
	return mode == link.ModeRemoteDiscovery || slices.ContainsFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool {
		takes, _ := w.takesClients(e.Addresses[0])
		return takes || slices.ContainsFunc(oneVerdict(w.in.Gateway), func(a plan.GatewayAddress) bool {
			return a.IP.String() == e.Addresses[0] && a.Health != plan.HealthDead && plan.RefusedAddress(a.IP, w.in.Policy.LocalNetworks) == ""
		})
	})
}

// checkFresh: with every verdict known, and a pod of the egress that takes clients where one is needed,
// the mirror is what it would be had there been nothing before. A take-over that waits for our endpoints is not at its end.
func (w *world) checkFresh() {
	in := w.in
	in.Local = w.cluster.local()
	if out := plan.Compute(in).Outcome; out.State != plan.StateMirrored || (out.Mode == link.ModeGateway && len(in.Gateway) == 0) ||
		slices.ContainsFunc(in.Gateway, func(a plan.GatewayAddress) bool { return a.Health == plan.HealthUnknown }) {
		return
	}
	if w.kind(plan.Compute(in).Outcome.Mode) == "egress" && !slices.ContainsFunc(in.Egress.Pods, func(pod plan.EgressPod) bool {
		return pod.Ready && !pod.Terminating && plan.RefusedAddress(pod.IP.Unmap(), nil) == ""
	}) {
		return
	}
	if linkerdsAlone(in) {
		return
	}
	fresh := newCluster(plan.Local{})
	fresh.namespaceExists = in.LocalNamespace == plan.NamespaceActive
	in.Mirrors = 0
	if err := fresh.settle(in, 1); err != nil {
		w.t.Fatalf("from nothing: %v", err)
	}
	if diff := cmp.Diff(content(fresh), content(w.cluster)); diff != "" {
		w.t.Fatalf("the mirror differs from one made from nothing (-nothing +this):\n%s", diff)
	}
}

// content is what a mirror says, whatever the names of its slices: ours and Linkerd's, others' left out.
func content(c *cluster) map[string][]string {
	svc := c.service.DeepCopy()
	delete(svc.Labels, "somebody/else")
	delete(svc.Annotations, v1alpha3.AnnotationRemoteResourceVersion)
	if !slices.ContainsFunc(slices.Collect(maps.Values(c.slices)), func(s *discoveryv1.EndpointSlice) bool {
		return isEgress(s.Name) && s.Labels[discoveryv1.LabelManagedBy] == v1alpha3.SliceManagedBy
	}) {
		delete(svc.Annotations, v1alpha3.AnnotationEgressPorts) // put there by hand, as any other annotation of somebody's
	}
	for i := range svc.Spec.Ports {
		if p := &svc.Spec.Ports[i]; p.AppProtocol != nil && *p.AppProtocol == "example.com/other" {
			p.AppProtocol = nil
		}
	}
	slices.SortFunc(svc.Spec.Ports, func(a, b corev1.ServicePort) int { return int(a.Port) - int(b.Port) })
	svc.Spec.ClusterIP = ""
	said := map[string][]string{"service": {fmt.Sprint(svc.Labels, svc.Annotations), svc.Spec.String()}}
	for _, s := range c.slices {
		if m := s.Labels[discoveryv1.LabelManagedBy]; m != v1alpha3.SliceManagedBy && !strings.HasPrefix(m, "endpointslicemirroring") {
			continue
		}
		ports := ""
		for _, p := range s.Ports {
			ports += p.String()
		}
		for _, e := range s.Endpoints {
			line := fmt.Sprint(e.String(), ports, s.AddressType, s.Annotations)
			said["endpoints"] = append(said["endpoints"], line)
		}
	}
	slices.Sort(said["endpoints"])
	return said
}

func (w *world) checkOthers() {
	if w.otherService != nil {
		if diff := cmp.Diff(w.otherService, w.cluster.service); diff != "" {
			w.t.Fatalf("a Service that is not ours was changed:\n%s", diff)
		}
	}
	for name, slice := range w.otherSlices {
		have := w.cluster.slices[name]
		if have == nil && slice.Labels[discoveryv1.LabelManagedBy] == "endpointslicemirroring-controller.k8s.io" {
			continue // went with Linkerd's Endpoints
		}
		if diff := cmp.Diff(slice, have); diff != "" {
			w.t.Fatalf("a slice that is not ours was changed:\n%s", diff)
		}
	}
}

// mayNotGap says whether, whatever mode the service is now in, there is something to serve it: then a
// ready mirror stays ready at every step.
func (w *world) mayNotGap() bool {
	in := w.in
	if in.Remote.State != plan.Present || in.Link.Deleting || in.Link.Gateway == nil || in.Policy.MaxEndpoints > 0 {
		return false
	}
	alive := len(in.Gateway) == 0 || slices.ContainsFunc(oneVerdict(in.Gateway), func(a plan.GatewayAddress) bool {
		return a.Health != plan.HealthDead && plan.RefusedAddress(a.IP, in.Policy.LocalNetworks) == ""
	})
	in.Local = w.cluster.local()
	out := plan.Compute(in).Outcome
	return alive && (out.State == plan.StateMirrored || out.Reason == v1alpha3.ReasonEgressMissing) &&
		w.mirrorExists() && w.directReady() && !w.gatewayChanged() && !w.egressChanged()
}

// egressChanged: the mirror was ready by pods of the egress that take no clients any more. While none is
// listed at all, they still serve.
func (w *world) egressChanged() bool {
	for _, s := range w.cluster.slices {
		for _, e := range s.Endpoints {
			takes, _ := w.takesClients(e.Addresses[0])
			if isEgress(s.Name) && w.podsUsable() && !takes {
				return true
			}
		}
	}
	return false
}

// oneVerdict drops what a resolver says of an address after the first time.
func oneVerdict(gateway []plan.GatewayAddress) []plan.GatewayAddress {
	var result []plan.GatewayAddress
	for _, a := range gateway {
		a.IP = a.IP.Unmap()
		if !slices.ContainsFunc(result, func(b plan.GatewayAddress) bool { return a.IP == b.IP }) {
			result = append(result, a)
		}
	}
	return result
}

// mirrorExists: there is one, and it is ours.
func (w *world) mirrorExists() bool {
	return w.cluster.service != nil && plan.Owned(w.cluster.service, w.in.Link, w.in.Namespace, w.in.Name)
}

// directReady: a remote endpoint that is ready and permitted is in the same local slice as before,
// or in a new one.
func (w *world) directReady() bool {
	for _, s := range w.in.Remote.Slices {
		for _, e := range s.Endpoints {
			if (e.Conditions.Ready == nil || *e.Conditions.Ready) && s.AddressType == discoveryv1.AddressTypeIPv4 &&
				strings.HasPrefix(e.Addresses[0], "198.51.100.") {
				return true
			}
		}
	}
	return false
}

// gatewayChanged: the mirror was ready by addresses that the gateway no longer has or that are dead.
// Those that it no longer has still serve until the first verdict on another.
func (w *world) gatewayChanged() bool {
	if w.verdictsAwaited() {
		return false
	}
	now := map[string]bool{}
	for _, a := range oneVerdict(w.in.Gateway) {
		now[a.IP.String()] = a.Health != plan.HealthDead
	}
	for _, s := range w.cluster.slices {
		for _, e := range s.Endpoints {
			if isGateway(s.Name) && len(now) > 0 && !now[e.Addresses[0]] {
				return true
			}
		}
	}
	return false
}

// change alters one thing, as users, targets, gateways and other controllers do.
func (w *world) change() {
	s := w.s
	switch s.intn(16) {
	case 12, 13:
		w.in.Clients = s.clients()
	case 14, 15:
		w.in.Egress = s.egress()
	case 0, 1, 2:
		w.in.Remote = s.remote()
	case 3, 4:
		w.in.Gateway = s.gateway()
	case 5:
		if svc := w.in.Remote.Service; svc != nil {
			svc.Labels[v1alpha3.LabelExported] = pick(s, "true", "remote-discovery")
		}
	case 6:
		w.in.Link.Gateway = s.linkGateway()
	case 7:
		w.in.Remote.State = pick(s, plan.Unknown, plan.Present, plan.Absent)
		if w.in.Remote.State == plan.Present && w.in.Remote.Service == nil {
			w.in.Remote = s.remote()
		}
	case 8, 9:
		w.drift()
	case 10:
		w.in.Policy = s.policy()
	case 11:
		w.in.Link.Deleting = s.intn(4) == 0 && !s.calm
	}
}

// drift is somebody's hand on the mirror or a slice of it.
func (w *world) drift() {
	s, c := w.s, w.cluster
	if c.service != nil && w.otherService == nil {
		switch s.intn(8) {
		case 6:
			c.service.Annotations[v1alpha3.AnnotationEgressPorts] = pick(s, "80=20999", "", "a=b,80=20080")
		case 7:
			delete(c.service.Annotations, v1alpha3.AnnotationEgressPorts)
		case 0:
			c.service.Labels["somebody/else"] = "was-here"
		case 1:
			delete(c.service.Labels, "app")
		case 2:
			delete(c.service.Annotations, v1alpha3.AnnotationAppliedHash)
		case 3:
			c.service.Spec.Type = corev1.ServiceTypeNodePort
		case 4:
			c.service.Spec.Ports[0].AppProtocol = new("example.com/other")
		case 5:
			c.deleteService()
			return
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.slices)) {
		slice := c.slices[name]
		if slice.Labels[discoveryv1.LabelManagedBy] != v1alpha3.SliceManagedBy {
			continue
		}
		switch s.intn(9) {
		case 7:
			if slice.Annotations[v1alpha3.AnnotationRemoteServiceFQName] != "" { // else no cache shows it
				slice.Labels[discoveryv1.LabelServiceName] = "other"
			}
		case 8:
			slice.Labels[discoveryv1.LabelManagedBy] = "somebody"
			w.otherSlices[name] = slice.DeepCopy()
		case 0:
			slice.Labels["somebody/else"] = "was-here"
		case 1:
			slice.Endpoints = nil
		case 2:
			delete(slice.Annotations, v1alpha3.AnnotationRemoteReady)
		case 3:
			delete(c.slices, name)
		case 4:
			slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: new("extra"), Protocol: new(corev1.ProtocolUDP)})
		}
	}
}

func copyInput(in plan.Input) plan.Input {
	out := in
	out.Remote.Service = in.Remote.Service.DeepCopy()
	out.Local.Service = in.Local.Service.DeepCopy()
	out.Remote.Slices = copySlices(in.Remote.Slices)
	out.Local.Slices = copySlices(in.Local.Slices)
	out.Gateway = slices.Clone(in.Gateway)
	out.Egress.Pods, out.Egress.Ports = slices.Clone(in.Egress.Pods), maps.Clone(in.Egress.Ports)
	if in.Link.Gateway != nil {
		out.Link.Gateway = new(*in.Link.Gateway)
	}
	return out
}

func copySlices(in []*discoveryv1.EndpointSlice) []*discoveryv1.EndpointSlice {
	out := slices.Clone(in)
	for i := range out {
		out[i] = out[i].DeepCopy()
	}
	return out
}

// inputOptions leave out what is shared and cannot change.
var inputOptions = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Link.Exported" || p.String() == "Link.RemoteDiscovery" }, cmp.Ignore()),
	cmp.Comparer(func(link.KeyFilter, link.KeyFilter) bool { return true }),
}
