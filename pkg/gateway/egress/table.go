package egress

import (
	"cmp"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
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
	links   map[string]*peer
	// mirrorsListed and linksListed say that all there were have been told once.
	mirrorsListed, linksListed bool
}

// NewTable makes a Table that knows nothing yet. onChange is called after each change of what Routes or
// Serves answer, without the lock; nil is allowed. loopback permits gateways on this host, for tests.
func NewTable(onChange func(), loopback bool) *Table {
	if onChange == nil {
		onChange = func() {}
	}
	return &Table{onChange: onChange, loopback: loopback, mirrors: map[types.NamespacedName]*mirror{}, links: map[string]*peer{}}
}

// Synced says whether all mirrors and all Links have been told once. It stays true after that.
func (t *Table) Synced() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.mirrorsListed && t.linksListed
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

func nameOf(svc *corev1.Service) types.NamespacedName {
	return types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}
}

func (t *Table) takeMirrors(next map[types.NamespacedName]*mirror, whole bool) {
	t.mu.Lock()
	changed := take(t.mirrors, next, whole, (*mirror).same)
	if whole && !t.mirrorsListed {
		t.mirrorsListed, changed = true, true
	}
	t.mu.Unlock()
	if changed {
		t.onChange()
	}
}

func (t *Table) takeLinks(next map[string]*peer, whole bool) {
	t.mu.Lock()
	changed := take(t.links, next, whole, (*peer).same)
	if whole && !t.linksListed {
		t.linksListed, changed = true, true
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

// owned is the port of a mirror that has an egress port.
type owned struct {
	mirror  *mirror
	service uint16
}

// owners are the mirrors that have egress ports: of two that claim one the older. That is who had it
// first, and so a claim made by hand takes nothing away.
func (t *Table) owners(r *Routes) map[uint16]owned {
	owners := map[uint16]owned{}
	for _, m := range t.mirrors {
		for _, c := range m.claims {
			if has, ok := owners[c.egress]; !ok || m.older(has.mirror) {
				owners[c.egress] = owned{m, c.service}
			}
		}
	}
	for _, m := range t.mirrors {
		r.Faults = append(r.Faults, m.faults...)
		for _, c := range m.claims {
			if has := owners[c.egress]; has.mirror != m {
				r.Conflicts = append(r.Conflicts, Conflict{Port: c.egress, Mirror: m.name, Older: has.mirror.name})
			}
		}
	}
	slices.SortFunc(r.Conflicts, func(a, b Conflict) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Mirror.Namespace, b.Mirror.Namespace), cmp.Compare(a.Mirror.Name, b.Mirror.Name))
	})
	return owners
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
