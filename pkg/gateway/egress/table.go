package egress

import (
	"cmp"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
	"github.com/linkspan/linkspan/pkg/link"
)

// Table knows the mirrors and the Links, and says what follows from them. What it says depends on what
// it knows only, not on how it came to know it. It is safe for concurrent use; see the package's comment
// for how it may be fed.
type Table struct {
	onChange func()
	loopback bool

	mu      sync.RWMutex
	mirrors map[types.NamespacedName]*mirror
	// proofs are of EndpointSlices.
	proofs map[types.NamespacedName]*proof
	links  map[string]*peer
	// mirrorsListed, proofsListed and linksListed say that all there were have been told once.
	mirrorsListed, proofsListed, linksListed bool
}

// NewTable makes a Table that knows nothing yet. onChange is called after each change of what Routes or
// Serves answer, without the lock; nil is allowed. loopback permits gateways on this host, for tests.
func NewTable(onChange func(), loopback bool) *Table {
	if onChange == nil {
		onChange = func() {}
	}
	return &Table{
		onChange: onChange, loopback: loopback,
		mirrors: map[types.NamespacedName]*mirror{}, proofs: map[types.NamespacedName]*proof{}, links: map[string]*peer{},
	}
}

// Synced says whether all mirrors, their slices and all Links have been told once. It stays true after that.
func (t *Table) Synced() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.mirrorsListed && t.proofsListed && t.linksListed
}

// SetService tells of a Service as it is now. One that is no mirror is forgotten.
func (t *Table) SetService(svc *corev1.Service) {
	t.takeMirrors(map[types.NamespacedName]*mirror{nameOf(svc): describe(svc)}, false)
}

// DeleteService tells that a Service is gone, or no longer a mirror.
func (t *Table) DeleteService(namespace, name string) {
	t.takeMirrors(map[types.NamespacedName]*mirror{{Namespace: namespace, Name: name}: nil}, false)
}

// ReplaceServices tells of all mirrors that there are. Others are forgotten.
func (t *Table) ReplaceServices(all []*corev1.Service) {
	next := make(map[types.NamespacedName]*mirror, len(all))
	for _, svc := range all {
		next[nameOf(svc)] = describe(svc)
	}
	t.takeMirrors(next, true)
}

// SetSlice tells of an EndpointSlice as it is now. One that does not lead a mirror here is forgotten.
func (t *Table) SetSlice(slice *discoveryv1.EndpointSlice) {
	t.takeProofs(map[types.NamespacedName]*proof{nameOf(slice): describeSlice(slice)}, false)
}

// DeleteSlice tells that an EndpointSlice is gone.
func (t *Table) DeleteSlice(namespace, name string) {
	t.takeProofs(map[types.NamespacedName]*proof{{Namespace: namespace, Name: name}: nil}, false)
}

// ReplaceSlices tells of all EndpointSlices of mirrors that there are. Others are forgotten.
func (t *Table) ReplaceSlices(all []*discoveryv1.EndpointSlice) {
	next := make(map[types.NamespacedName]*proof, len(all))
	for _, slice := range all {
		next[nameOf(slice)] = describeSlice(slice)
	}
	t.takeProofs(next, true)
}

// SetLink tells of a Link as it is now. All Links are of one namespace.
func (t *Table) SetLink(obj *v1alpha3.Link) {
	t.takeLinks(map[string]*peer{obj.Name: describeLink(obj, t.loopback)}, false)
}

// DeleteLink tells that a Link is gone.
func (t *Table) DeleteLink(name string) { t.takeLinks(map[string]*peer{name: nil}, false) }

// ReplaceLinks tells of all Links that there are. Others are forgotten.
func (t *Table) ReplaceLinks(all []*v1alpha3.Link) {
	next := make(map[string]*peer, len(all))
	for _, obj := range all {
		next[obj.Name] = describeLink(obj, t.loopback)
	}
	t.takeLinks(next, true)
}

func nameOf(obj metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

func (t *Table) takeMirrors(next map[types.NamespacedName]*mirror, whole bool) {
	t.change(func() bool { return take(t.mirrors, next, whole, (*mirror).same) }, whole, &t.mirrorsListed)
}

func (t *Table) takeProofs(next map[types.NamespacedName]*proof, whole bool) {
	t.change(func() bool { return take(t.proofs, next, whole, (*proof).same) }, whole, &t.proofsListed)
}

func (t *Table) takeLinks(next map[string]*peer, whole bool) {
	t.change(func() bool { return take(t.links, next, whole, (*peer).same) }, whole, &t.linksListed)
}

// change has something taken over, and tells of it.
func (t *Table) change(taken func() bool, whole bool, listed *bool) {
	t.mu.Lock()
	changed := taken()
	if whole && !*listed {
		*listed, changed = true, true
	}
	t.mu.Unlock()
	if changed {
		t.onChange()
	}
}

// take puts values, nil for none, in their places. The whole means that there are no others.
func take[K comparable, V any](known, next map[K]*V, whole bool, same func(a, b *V) bool) (changed bool) {
	if whole {
		for k := range known {
			if _, ok := next[k]; !ok {
				next[k] = nil
			}
		}
	}
	for k, v := range next {
		switch {
		case same(known[k], v):
			continue
		case v == nil:
			delete(known, k)
		default:
			known[k] = v
		}
		changed = true
	}
	return changed
}

// Serves says whether streams of a target's clients may go on: its mirror is there, the same as when
// they began, and has the port still. Whether it has an egress port is another matter: a mirror that now
// leads past the egress does not take the streams away that are open. The cluster's Link may be gone:
// mirrors end with it, but for those that somebody keeps.
func (t *Table) Serves(target Target) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.mirrors[target.Mirror].serves(target.UID, target.Port)
}

// Routes computes where connections go. The mirrors of a cluster without a Link have Routes too, so
// that their clients are told at once, and somebody can read why.
func (t *Table) Routes() Routes {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var r Routes
	peers := t.peers(&r)
	owners := t.owners(&r)
	r.ByPort = make(map[uint16]*Route, len(owners))
	for port, owner := range owners {
		r.ByPort[port] = owner.route(peers[owner.mirror.cluster])
	}
	slices.SortFunc(r.Faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Cause, b.Cause), cmp.Compare(a.Text, b.Text))
	})
	return r
}

// peers are the Links that count, by cluster: the older of two.
func (t *Table) peers(r *Routes) map[string]*peer {
	peers := make(map[string]*peer, len(t.links))
	for _, p := range t.links {
		if best, ok := peers[p.cluster]; p.cluster != "" && (!ok || p.older(best)) {
			peers[p.cluster] = p
		}
	}
	for _, p := range t.links {
		r.Faults = append(r.Faults, p.faults...)
		if best := peers[p.cluster]; best != nil && best != p {
			r.Faults = append(r.Faults, Fault{
				Object: "Link " + string(p.link), Cause: CauseDuplicate,
				Text: "Link " + string(best.link) + ", which is older, leads to cluster " + quote(p.cluster) + " already: delete one of the two",
			})
		}
	}
	return peers
}

// route leads to the cluster of p, if there is one. The name in the header is made anew of what the
// mirror was checked for, with the domain that the Link says: nothing else of a mirror goes out.
func (o owned) route(p *peer) *Route {
	r := &Route{
		Cluster: o.mirror.cluster,
		Target:  Target{Mirror: o.mirror.name, UID: o.mirror.uid, Port: o.service},
		Gateway: Gateway{Refused: ReasonNoLink},
	}
	if p == nil {
		return r
	}
	r.Gateway = p.gateway
	if p.domain == "" {
		return r // it cannot be used
	}
	r.Header = wire.Header{
		Port: o.service, Protocol: wire.Opaque,
		Name: link.Link{Domain: p.domain}.RemoteFQName(o.mirror.name.Namespace, o.mirror.service),
	}
	return r
}
