package ports

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// Allocator gives egress ports to mirrors, each named by the namespace and name of its Service. Its
// methods may be called from any goroutine.
type Allocator struct {
	ports Range
	hold  time.Duration
	now   func() time.Time
	freed func()
	// share is the most ports that mirrors of one cluster may have, 0 for no limit.
	share int

	mu      sync.Mutex
	mirrors map[types.NamespacedName]*entry
	// claims are the claimants of each port of the range that has any, with their turn: who came first.
	claims map[uint16]map[claimant]uint64
	// turn is the last that was given. It is 0 until the first mirror asks: nobody came before the others
	// of what was there at the start.
	turn   uint64
	asking bool
	// held are ports that were given back, each for its last claimant; reserved finds them by that.
	held     map[uint16]holding
	reserved map[claimant]uint16
	// counts are the claims of each cluster's mirrors.
	counts map[string]int
	// ending holds ports in the order in which their time ends, which is the order of release.
	ending []release
}

// entry is what a mirror claims.
type entry struct {
	// cluster is where it came from.
	cluster string
	// since is when the first of its slices was made; zero while none is known.
	since time.Time
	// seen is what its slices prove, given what Assign said since.
	seen, given plan.EgressPorts
}

// claimant is one port of one mirror.
type claimant struct {
	mirror  types.NamespacedName
	service int32
}

type holding struct {
	by    claimant
	until time.Time
}

type release struct {
	port  uint16
	until time.Time
}

// New makes an Allocator for a range of ports. One that is given back stays reserved for the mirror that
// had it for the time of hold. The mirrors of one cluster get share ports at most, 0 for no limit, so that
// one target cannot use up all. freed is called, without a lock, after a port was given back.
func New(ports Range, share int, hold time.Duration, now func() time.Time, freed func()) *Allocator {
	return &Allocator{
		ports: ports, share: share, hold: hold, now: now, freed: freed, counts: map[string]int{},
		mirrors: map[types.NamespacedName]*entry{}, claims: map[uint16]map[claimant]uint64{},
		held: map[uint16]holding{}, reserved: map[claimant]uint16{},
	}
}

// Seen is what the slices of a mirror say. Only the controller writes them.
type Seen struct {
	// Cluster is where the mirror came from.
	Cluster string
	// Since is when the first of the slices was made.
	Since time.Time
	// Ports are those that they lead to. Without any, the mirror has no such slices.
	Ports plan.EgressPorts
}

// See is told what the slices of a mirror say of its egress ports, and returns the other mirrors that
// claim one of them: they are to ask again. Ports that no mirror may have are no claims, and are replaced
// when the mirror asks.
func (a *Allocator) See(mirror types.NamespacedName, now Seen) []types.NamespacedName {
	says := maps.Clone(now.Ports)
	maps.DeleteFunc(says, func(_ int32, port uint16) bool { return !a.ports.contains(port) })
	a.mu.Lock()
	e := a.mirrors[mirror]
	if e == nil && len(says) == 0 || e != nil && e.since.Equal(now.Since) && maps.Equal(e.seen, says) {
		a.mu.Unlock()
		return nil // the usual case: something else of the slices changed
	}
	released := a.change(mirror, func(e *entry) {
		e.since, e.seen = now.Since, says
		if now.Cluster != "" {
			e.cluster = now.Cluster
		}
	})
	var rivals []types.NamespacedName
	if e := a.mirrors[mirror]; e != nil {
		rivals = a.rivals(mirror, e)
	}
	a.mu.Unlock()
	a.tell(released)
	return rivals
}

// Assign gives a mirror of a cluster a port for each of its service ports, and takes back those of others.
// A port that it has by right it keeps. When not all can be given, lacks says why, and ports are those that
// it has by right.
func (a *Allocator) Assign(mirror types.NamespacedName, cluster string, service []int32) (ports plan.EgressPorts, lacks plan.EgressLimit) {
	a.mu.Lock()
	a.asking = true
	a.expire()
	given, taken := make(plan.EgressPorts, len(service)), make(map[uint16]bool, len(service))
	for _, number := range service {
		port, found := a.port(claimant{mirror, number}, taken)
		if !found {
			break
		}
		given[number], taken[port] = port, true
	}
	switch {
	case len(given) < len(service):
		lacks = plan.EgressLimitRange
	case a.exceeds(mirror, cluster, given):
		lacks = plan.EgressLimitShare
	}
	if lacks != plan.EgressLimitNone {
		ports = a.rightful(mirror)
		a.mu.Unlock()
		return ports, lacks
	}
	released := a.change(mirror, func(e *entry) { e.given, e.cluster = maps.Clone(given), cluster })
	a.mu.Unlock()
	a.tell(released)
	return given, plan.EgressLimitNone
}

// exceeds says whether a mirror would bring its cluster over its share with ports that it has not yet.
func (a *Allocator) exceeds(mirror types.NamespacedName, cluster string, given plan.EgressPorts) bool {
	if a.share == 0 {
		return false
	}
	var has map[claimed]struct{}
	counted := a.counts[cluster]
	if e := a.mirrors[mirror]; e != nil {
		has = e.claims()
		if e.cluster != cluster {
			counted += len(has)
		}
	}
	more := 0
	for service, port := range given {
		if _, ok := has[claimed{service, port}]; !ok {
			more++
		}
	}
	return more > 0 && counted+more > a.share
}

// Release takes back what a mirror was given. What its slices lead to stays its own as long as they do.
func (a *Allocator) Release(mirror types.NamespacedName) {
	a.mu.Lock()
	released := a.release(mirror)
	a.mu.Unlock()
	a.tell(released)
}

func (a *Allocator) release(mirror types.NamespacedName) (released bool) {
	if a.mirrors[mirror] == nil {
		return false
	}
	return a.change(mirror, func(e *entry) { e.given = nil })
}

// ReleaseUnseen takes back what was given to mirrors of a cluster that have no slices. One that is being made at this
// moment gets the same ports when it asks again.
func (a *Allocator) ReleaseUnseen(cluster string) {
	a.mu.Lock()
	released := false
	for _, mirror := range slices.Collect(maps.Keys(a.mirrors)) {
		if e := a.mirrors[mirror]; e.cluster == cluster && len(e.seen) == 0 {
			released = a.release(mirror) || released
		}
	}
	a.mu.Unlock()
	a.tell(released)
}

// Held are the ports that are a mirror's by right.
func (a *Allocator) Held(mirror types.NamespacedName) plan.EgressPorts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rightful(mirror)
}

// Next is how long until a port that was given back may be given to another mirror; ok is false when
// there is none.
func (a *Allocator) Next() (wait time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expire()
	if len(a.ending) == 0 {
		return 0, false
	}
	return a.ending[0].until.Sub(a.now()), true
}

func (a *Allocator) tell(released bool) {
	if released {
		a.freed()
	}
}

// change is the only place where claims come and go. The lock is held.
func (a *Allocator) change(mirror types.NamespacedName, change func(*entry)) (released bool) {
	e := a.mirrors[mirror]
	if e == nil {
		e = &entry{}
		a.mirrors[mirror] = e
	}
	before := e.claims()
	a.count(e.cluster, -len(before))
	change(e)
	after := e.claims()
	a.count(e.cluster, len(after))
	for c := range after {
		a.claim(c.port, claimant{mirror, c.service})
	}
	for c := range before {
		if _, kept := after[c]; !kept {
			a.unclaim(c.port, claimant{mirror, c.service})
			released = true
		}
	}
	if len(after) == 0 {
		delete(a.mirrors, mirror) // a mirror without ports costs no memory
	}
	return released
}

func (a *Allocator) count(cluster string, n int) {
	if a.counts[cluster] += n; a.counts[cluster] == 0 {
		delete(a.counts, cluster)
	}
}

// claimed is one port that a mirror claims for one of its service ports.
type claimed struct {
	service int32
	port    uint16
}

func (e *entry) claims() map[claimed]struct{} {
	out := make(map[claimed]struct{}, len(e.seen))
	for _, ports := range [...]plan.EgressPorts{e.seen, e.given} {
		for service, port := range ports {
			out[claimed{service, port}] = struct{}{}
		}
	}
	return out
}

// port finds the port of a claimant: the one it was given, the one its slices lead to, the one that is
// held for it, or a free one. None of taken, which its mirror was just given.
func (a *Allocator) port(c claimant, taken map[uint16]bool) (uint16, bool) {
	if port, ok := a.own(c, taken); ok {
		return port, true
	}
	if port, ok := a.reserved[c]; ok && !taken[port] {
		return port, true
	}
	return a.free(c, taken)
}

// own is the port that a claimant claims by right.
func (a *Allocator) own(c claimant, taken map[uint16]bool) (uint16, bool) {
	e := a.mirrors[c.mirror]
	if e == nil {
		return 0, false
	}
	for _, ports := range [...]plan.EgressPorts{e.given, e.seen} {
		if port, ok := ports[c.service]; ok && !taken[port] && a.owner(port) == c {
			return port, true
		}
	}
	return 0, false
}

// free finds a port that nobody claims and that does not rest.
func (a *Allocator) free(c claimant, taken map[uint16]bool) (uint16, bool) {
	if len(a.claims)+len(a.held) >= a.ports.Size() {
		return 0, false
	}
	size := a.ports.span()
	start := c.digest() % size
	for i := range size {
		port := a.ports.Low + uint16((start+i)%size)
		_, isHeld := a.held[port]
		if a.ports.contains(port) && len(a.claims[port]) == 0 && !isHeld && !taken[port] {
			return port, true
		}
	}
	return 0, false
}

// digest is where the search for a free port begins.
func (c claimant) digest() int {
	h := fnv.New32a()
	// A hash takes everything.
	_, _ = h.Write([]byte(c.mirror.Namespace + "/" + c.mirror.Name + "/" + strconv.Itoa(int(c.service))))
	return int(h.Sum32() >> 1)
}

// owner is whose a port is, of those that claim it: who had it first keeps it.
func (a *Allocator) owner(port uint16) claimant {
	claims := a.claims[port]
	return slices.MinFunc(slices.Collect(maps.Keys(claims)), func(x, y claimant) int {
		return cmp.Or(cmp.Compare(claims[x], claims[y]), a.older(x, y))
	})
}

// older orders claimants of which nobody saw who came first: by their slices, and those without come last.
func (a *Allocator) older(x, y claimant) int {
	since := func(c claimant) time.Time { return a.mirrors[c.mirror].since }
	young := func(c claimant) int {
		if since(c).IsZero() {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(young(x), young(y)), since(x).Compare(since(y)),
		cmp.Compare(x.mirror.Namespace, y.mirror.Namespace), cmp.Compare(x.mirror.Name, y.mirror.Name), cmp.Compare(x.service, y.service),
	)
}

// rightful are the ports of a mirror that it owns: what it was given, else what its slices lead to.
func (a *Allocator) rightful(mirror types.NamespacedName) plan.EgressPorts {
	e := a.mirrors[mirror]
	if e == nil {
		return nil
	}
	own := plan.EgressPorts{}
	for _, ports := range [...]plan.EgressPorts{e.seen, e.given} {
		for service, port := range ports {
			if a.owner(port) == (claimant{mirror, service}) {
				own[service] = port
			}
		}
	}
	return own
}

// rivals are the other mirrors that claim a port of this one, sorted.
func (a *Allocator) rivals(mirror types.NamespacedName, e *entry) []types.NamespacedName {
	found := map[types.NamespacedName]struct{}{}
	for c := range e.claims() {
		for rival := range a.claims[c.port] {
			if rival.mirror != mirror {
				found[rival.mirror] = struct{}{}
			}
		}
	}
	return slices.SortedFunc(maps.Keys(found), func(x, y types.NamespacedName) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
	})
}
