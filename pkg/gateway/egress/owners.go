package egress

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/pkg/link"
)

// maxUnproved is the most ports of one namespace that are listened on before slices lead to them: who may
// write Services there must not make this pod listen on all ports that there are. It is what one mirror may
// have, and what is beyond it waits for its slices only.
const maxUnproved = maxClaims

// proof is what is kept of an EndpointSlice that leads the clients of a mirror here: the service mirror gave
// it these ports. It is never changed once made.
type proof struct {
	mirror  types.NamespacedName
	cluster string
	since   time.Time
	claims  []claim
}

// describeSlice takes out of an EndpointSlice what is kept of it; nil where it does not lead here.
func describeSlice(slice *discoveryv1.EndpointSlice) *proof {
	proved, ok := link.ProvesEgress(slice)
	if !ok {
		return nil
	}
	claims, _ := parsePorts(proved.Ports)
	return &proof{mirror: proved.Mirror, cluster: proved.Cluster, since: slice.CreationTimestamp.Time, claims: claims}
}

// same says whether two slices, or none, prove the same.
func (p *proof) same(o *proof) bool {
	if p == nil || o == nil {
		return p == o
	}
	return p.mirror == o.mirror && p.cluster == o.cluster && p.since.Equal(o.since) && slices.Equal(p.claims, o.claims)
}

// older decides between slices of two mirrors that lead to one port, which the service mirror is about to
// mend: as its allocator does after a start.
func (p *proof) older(o *proof) bool {
	return cmp.Or(p.since.Compare(o.since), cmp.Compare(p.mirror.Namespace, o.mirror.Namespace), cmp.Compare(p.mirror.Name, o.mirror.Name)) < 0
}

// holder is the mirror whose slices lead to a port, and for which of its ports.
type holder struct {
	*proof
	service uint16
}

// is says whether that is a port of a mirror.
func (h holder) is(m *mirror, service uint16) bool {
	return h.mirror == m.name && h.cluster == m.cluster && h.service == service
}

// owned is the port of a mirror that has an egress port.
type owned struct {
	mirror  *mirror
	service uint16
}

// owners are the mirrors that have egress ports. A port that slices lead to is their mirror's, whoever else
// claims it: that is where clients come from. Any other is for the one mirror that claims it, so that it is
// listened on before slices lead to it; where several do, nobody can say which of them is right.
func (t *Table) owners(r *Routes) map[uint16]owned {
	holders := t.holders()
	owners, unproved := map[uint16]owned{}, map[uint16]int{}
	for _, m := range t.mirrors {
		r.Faults = append(r.Faults, m.faults...)
		for _, c := range m.claims {
			switch h, ok := holders[c.egress]; {
			case !ok:
				unproved[c.egress]++
				owners[c.egress] = owned{m, c.service}
			case h.is(m, c.service):
				owners[c.egress] = owned{m, c.service}
			default:
				r.Conflicts = append(r.Conflicts, Conflict{Port: c.egress, Mirror: m.name, Holder: h.mirror})
			}
		}
	}
	t.contested(r, unproved)
	for port, claims := range unproved {
		if claims > 1 {
			delete(owners, port)
			delete(unproved, port)
		}
	}
	limitUnproved(r, owners, unproved)
	slices.SortFunc(r.Conflicts, func(a, b Conflict) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Mirror.Namespace, b.Mirror.Namespace), cmp.Compare(a.Mirror.Name, b.Mirror.Name))
	})
	return owners
}

// holders are by port; of two the one with the older slices.
func (t *Table) holders() map[uint16]holder {
	holders := make(map[uint16]holder, len(t.proofs))
	for _, p := range t.proofs {
		for _, c := range p.claims {
			if has, ok := holders[c.egress]; !ok || p.older(has.proof) || p.mirror == has.mirror && c.service < has.service {
				holders[c.egress] = holder{p, c.service}
			}
		}
	}
	return holders
}

// contested tells of ports that several claim and none is led to.
func (t *Table) contested(r *Routes, unproved map[uint16]int) {
	for _, m := range t.mirrors {
		for _, c := range m.claims {
			if unproved[c.egress] > 1 {
				r.Conflicts = append(r.Conflicts, Conflict{Port: c.egress, Mirror: m.name})
			}
		}
	}
}

// limitUnproved takes the ports beyond maxUnproved from each namespace, the highest first.
func limitUnproved(r *Routes, owners map[uint16]owned, unproved map[uint16]int) {
	if len(unproved) <= maxUnproved {
		return
	}
	byNamespace := map[string][]uint16{}
	for port := range unproved {
		namespace := owners[port].mirror.name.Namespace
		byNamespace[namespace] = append(byNamespace[namespace], port)
	}
	for namespace, ports := range byNamespace {
		if len(ports) <= maxUnproved {
			continue
		}
		slices.Sort(ports)
		for _, port := range ports[maxUnproved:] {
			delete(owners, port)
		}
		r.Faults = append(r.Faults, Fault{
			Object: "Namespace " + namespace, Cause: CausePorts,
			Text: fmt.Sprintf("more than %d ports of mirrors in it are claimed before any EndpointSlice leads to them: the others wait for theirs; "+
				"delete the Services that the service mirror did not make, if there are any", maxUnproved),
		})
	}
}
