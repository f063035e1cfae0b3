package ports

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

const holdTime = time.Minute

// fixture is an allocator with a clock that tests move, and a count of what was given back.
type fixture struct {
	*Allocator
	now   time.Time
	freed int
}

func newFixture(low, high uint16) *fixture {
	b := &fixture{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	b.Allocator = New(Range{Low: low, High: high}, 0, holdTime, func() time.Time { return b.now }, func() { b.freed++ })
	return b
}

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: name}
}

// day is when a mirror was created.
func day(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }

func (b *fixture) assign(t *testing.T, mirror string, service ...int32) plan.EgressPorts {
	t.Helper()
	ports, lacks := b.Assign(named(mirror), "east", service)
	if lacks != plan.EgressLimitNone || len(ports) != len(service) {
		t.Fatalf("%s got %q for %v, lacks %q", mirror, ports, service, lacks)
	}
	return ports
}

func (b *fixture) refused(t *testing.T, mirror string, service ...int32) {
	t.Helper()
	if ports, lacks := b.Assign(named(mirror), "east", service); lacks != plan.EgressLimitRange {
		t.Fatalf("%s got %q, lacks %q, want nothing for want of a free port", mirror, ports, lacks)
	}
}

// see has the slices of a mirror, made at a time, lead to ports.
func (b *fixture) see(mirror string, since time.Time, says plan.EgressPorts) []types.NamespacedName {
	return b.See(named(mirror), Seen{Cluster: "east", Since: since, Ports: says})
}

// gone has a mirror and its slices deleted.
func (b *fixture) gone(mirror string) {
	b.Release(named(mirror))
	b.See(named(mirror), Seen{})
}

func same(t *testing.T, what string, want, got plan.EgressPorts) {
	t.Helper()
	if want.String() != got.String() {
		t.Errorf("%s: ports are %q, want %q", what, got, want)
	}
}

func TestPortsAreStableAndUnique(t *testing.T) {
	t.Parallel()
	b := newFixture(20000, 20999)
	first := b.assign(t, "web-east", 80, 443)
	other := b.assign(t, "api-east", 80)
	same(t, "asked again", first, b.assign(t, "web-east", 80, 443))
	grown := b.assign(t, "web-east", 80, 443, 8080)
	same(t, "with one more port", first, plan.EgressPorts{80: grown[80], 443: grown[443]})
	seen := map[uint16]bool{}
	for _, ports := range []plan.EgressPorts{grown, other} {
		for _, port := range ports {
			if seen[port] || port < 20000 || port > 20999 {
				t.Errorf("port %d twice or out of range", port)
			}
			seen[port] = true
		}
	}
	same(t, "held", grown, b.Held(named("web-east")))
	same(t, "held by nobody", nil, b.Held(named("none-east")))
}

// A restart finds every port on its mirror again; a mirror that is made anew begins to search where it
// did before, so it has its port again too.
func TestPortsAfterARestart(t *testing.T) {
	t.Parallel()
	before := newFixture(20000, 59999)
	web := before.assign(t, "web-east", 80)
	after := newFixture(20000, 59999)
	same(t, "made anew", web, after.assign(t, "web-east", 80))

	after = newFixture(20000, 59999)
	after.see("web-east", day(1), plan.EgressPorts{80: 31000, 443: 31001})
	same(t, "as the slices say", plan.EgressPorts{80: 31000, 443: 31001}, after.assign(t, "web-east", 80, 443))
	same(t, "held before it is asked for", plan.EgressPorts{80: 31000, 443: 31001}, after.Held(named("web-east")))
}

// What slices lead to outside the range is replaced, and the rest of it stays.
func TestPortsOutsideTheRangeAreReplaced(t *testing.T) {
	t.Parallel()
	b := newFixture(20000, 20099)
	b.see("web-east", day(1), plan.EgressPorts{80: 20050, 443: 443, 8080: 20100})
	ports := b.assign(t, "web-east", 80, 443, 8080)
	if ports[80] != 20050 || ports[443] < 20000 || ports[8080] < 20000 || ports[443] > 20099 || ports[8080] > 20099 {
		t.Errorf("ports are %q", ports)
	}
}

// Of two mirrors whose slices have led to a port since before the start, the one with the older slices keeps
// it, whichever is seen first; the other is told to ask again and gets a new one.
func TestOlderSlicesKeepThePort(t *testing.T) {
	t.Parallel()
	claim := plan.EgressPorts{80: 20007}
	for name, c := range map[string]struct {
		web, api time.Time
		keeps    string
	}{
		"web is older":     {day(1), day(2), "web-east"},
		"api is older":     {day(2), day(1), "api-east"},
		"both at one time": {day(1), day(1), "api-east"},
	} {
		for _, order := range [][]string{{"web-east", "api-east"}, {"api-east", "web-east"}} {
			b := newFixture(20000, 20099)
			created := map[string]time.Time{"web-east": c.web, "api-east": c.api}
			var rivals []types.NamespacedName
			for _, mirror := range order {
				rivals = b.see(mirror, created[mirror], claim)
			}
			if diff := cmp.Diff([]types.NamespacedName{named(order[0])}, rivals); diff != "" {
				t.Errorf("%s: rivals of the second seen (-want +got):\n%s", name, diff)
			}
			loser := "web-east"
			if c.keeps == loser {
				loser = "api-east"
			}
			same(t, name+": the loser before it asks", nil, b.Held(named(loser)))
			if got := b.assign(t, loser, 80); got[80] == 20007 {
				t.Errorf("%s, seen in order %v: %s keeps the port, want %s", name, order, loser, c.keeps)
			}
			same(t, name+": the winner", claim, b.assign(t, c.keeps, 80))
		}
	}
}

// One port for two of a mirror counts once.
func TestOnePortForTwoServicePorts(t *testing.T) {
	t.Parallel()
	b := newFixture(20000, 20099)
	b.see("web-east", day(1), plan.EgressPorts{80: 20007, 443: 20007})
	ports := b.assign(t, "web-east", 80, 443)
	if ports[80] != 20007 || ports[443] == 20007 {
		t.Errorf("ports are %q, want 20007 for the first alone", ports)
	}
}

// What this process gave counts more than what the slices are made to say afterwards.
func TestGivenPortsOutlastEditedSlices(t *testing.T) {
	t.Parallel()
	b := newFixture(20000, 20099)
	given := b.assign(t, "web-east", 80)
	for _, says := range []plan.EgressPorts{{80: 20099}, {}, {81: given[80]}} {
		b.see("web-east", day(1), says)
		same(t, "after an edit to "+says.String(), given, b.assign(t, "web-east", 80))
	}
}

// A client of a mirror that is gone must not reach another service: its port rests, except for itself.
func TestReleasedPortsRest(t *testing.T) {
	t.Parallel()
	b := newFixture(20000, 20001)
	web := b.assign(t, "web-east", 80)
	b.assign(t, "api-east", 80)
	b.see("web-east", day(1), web)
	b.refused(t, "new-east", 80)
	if _, ok := b.Next(); ok {
		t.Error("a port is said to be free soon, and none was given back")
	}
	b.gone("web-east")
	if b.freed != 1 {
		t.Errorf("told of %d ports given back, want 1", b.freed)
	}
	b.now = b.now.Add(20 * time.Second)
	b.refused(t, "new-east", 80)
	if wait, ok := b.Next(); !ok || wait != 40*time.Second {
		t.Errorf("the next port is free in %s (%t), want 40s", wait, ok)
	}
	same(t, "the same mirror made again", web, b.assign(t, "web-east", 80))
	b.Release(named("web-east"))
	b.now = b.now.Add(holdTime)
	same(t, "another mirror after the rest", web, b.assign(t, "new-east", 80))
}

// What is released while slices still lead to it is released when they do no longer.
func TestSlicesHoldAReleasedPort(t *testing.T) {
	t.Parallel()
	b := newFixture(20000, 20000)
	web := b.assign(t, "web-east", 80)
	b.see("web-east", day(1), web)
	b.Release(named("web-east"))
	b.now = b.now.Add(time.Hour)
	b.refused(t, "new-east", 80)
	same(t, "still held", web, b.Held(named("web-east")))
	b.see("web-east", day(1), nil)
	b.refused(t, "new-east", 80)
	b.now = b.now.Add(holdTime)
	b.assign(t, "new-east", 80)
	if len(b.mirrors) != 1 {
		t.Errorf("%d mirrors are remembered, want the one that has a port", len(b.mirrors))
	}
}

// A service port that a mirror drops gives its egress port back, and one that asks for more than there is
// keeps what it has.
func TestServicePortsComeAndGo(t *testing.T) {
	t.Parallel()
	b := newFixture(20000, 20001)
	both := b.assign(t, "web-east", 80, 443)
	b.refused(t, "web-east", 80, 443, 8080)
	same(t, "after asking for too many", both, b.Held(named("web-east")))
	same(t, "with one less", plan.EgressPorts{80: both[80]}, b.assign(t, "web-east", 80))
	b.refused(t, "api-east", 80)
	b.now = b.now.Add(holdTime)
	if got := b.assign(t, "api-east", 80); got[80] != both[443] {
		t.Errorf("got %q, want the port that web dropped, %d", got, both[443])
	}
}

// Ports of mirrors that never came to be are given back with their Link.
func TestUnseenMirrorsAreForgotten(t *testing.T) {
	t.Parallel()
	b := newFixture(20000, 20003)
	web := b.assign(t, "web-east", 80)
	b.assign(t, "api-east", 80)
	b.see("web-east", day(1), web)
	both := b.assign(t, "web-east", 80, 443) // the slices follow
	other, lacks := b.Assign(named("web-south"), "south", []int32{80})
	if lacks != plan.EgressLimitNone {
		t.Fatalf("another cluster lacks %q", lacks)
	}
	b.ReleaseUnseen("east")
	same(t, "the one that exists, with what it was given since", both, b.Held(named("web-east")))
	same(t, "the one that does not", nil, b.Held(named("api-east")))
	same(t, "another cluster's", other, b.Held(named("web-south")))
	b.now = b.now.Add(holdTime)
	b.assign(t, "new-east", 80)
}

// Memory is that of the ports in use, whatever came and went (style: bounded caches).
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	b := newFixture(20000, 20099)
	for i := range 1000 {
		mirror := fmt.Sprintf("svc-%d-east", i)
		b.see(mirror, day(1), b.assign(t, mirror, 80, 81))
		b.gone(mirror)
		b.now = b.now.Add(2 * time.Second)
	}
	b.now = b.now.Add(holdTime)
	b.Next()
	if n := len(b.mirrors) + len(b.claims) + len(b.held) + len(b.reserved) + len(b.ending); n > 0 {
		t.Errorf("%d things are remembered of mirrors that are gone", n)
	}
}

// Several workers ask at once: no two ever get one port.
func TestConcurrentAssignments(t *testing.T) {
	t.Parallel()
	const mirrors, workers = 400, 8
	a := New(Range{Low: 20000, High: 20000 + 2*mirrors - 1}, 0, holdTime, time.Now, func() {})
	got := make([]plan.EgressPorts, mirrors)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < mirrors; i += workers {
				ports, lacks := a.Assign(named(fmt.Sprint("svc-", i)), "east", []int32{80, 443})
				if lacks != plan.EgressLimitNone {
					t.Errorf("mirror %d found no ports", i)
					return
				}
				a.See(named(fmt.Sprint("svc-", i)), Seen{Cluster: "east", Since: day(1), Ports: ports})
				got[i] = ports
			}
		})
	}
	group.Wait()
	seen := map[uint16]int{}
	for i, ports := range got {
		for port := range maps.Values(ports) {
			if other, twice := seen[port]; twice {
				t.Fatalf("mirrors %d and %d both have %d", other, i, port)
			}
			seen[port] = i
		}
	}
}

// FuzzAllocator holds an allocator against what must be true whatever happens: ports in the range, none
// with two mirrors by right, none that rests or that another mirror's slices lead to given away, and
// nothing moved that was by right.
func FuzzAllocator(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte("a mirror comes, a mirror goes, and its port rests a while"))
	f.Add([]byte{0, 0, 1, 1, 0, 1, 3, 0, 0, 9, 0, 2, 3, 5, 0, 0, 4, 4, 1, 2, 2, 1, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		next := func(n int) int {
			if len(data) == 0 {
				return 0
			}
			b := data[0]
			data = data[1:]
			return int(b) % n
		}
		b := newFixture(20000, 20005)
		gone := map[uint16]time.Time{}
		last := map[uint16]types.NamespacedName{}
		for len(data) > 0 {
			mirror := named(fmt.Sprint("svc-", next(5)))
			before := b.rightfuls()
			switch next(6) {
			case 0, 1:
				asked := [][]int32{{80}, {80, 443}, {443}, {80, 81, 443}}[next(4)]
				ports, lacks := b.Assign(mirror, "east", asked)
				ok := lacks == plan.EgressLimitNone
				if ok && len(ports) != len(asked) {
					t.Fatalf("asked for %v, got %q", asked, ports)
				}
				for _, port := range ports {
					if until, rests := gone[port]; rests && b.now.Before(until) && last[port] != mirror {
						t.Fatalf("port %d rests for %s until %s and went to %s", port, last[port], until, mirror)
					}
				}
				for service, port := range before[mirror] {
					if ok && slices.Contains(asked, service) && ports[service] != port {
						t.Fatalf("%s had %d by right and now has %d", mirror, port, ports[service])
					}
				}
			case 2:
				b.see(mirror.Name, day(1+next(3)), plan.EgressPorts{80: uint16(19999 + next(8)), 443: uint16(19999 + next(8))})
			case 3:
				b.gone(mirror.Name)
			case 4:
				b.Release(mirror)
			case 5:
				b.now = b.now.Add(time.Duration(next(80)) * time.Second)
			}
			b.check(t)
			for port := range b.ports.each {
				if len(b.claims[port]) > 0 {
					delete(gone, port)
				}
			}
			for port, h := range b.held {
				gone[port], last[port] = h.until, h.by.mirror
			}
		}
	})
}

// each lists the ports of a range.
func (r Range) each(yield func(uint16) bool) {
	for i := range r.Size() {
		if !yield(r.Low + uint16(i)) {
			return
		}
	}
}

// rightfuls are all ports that mirrors have by right.
func (b *fixture) rightfuls() map[types.NamespacedName]plan.EgressPorts {
	out := map[types.NamespacedName]plan.EgressPorts{}
	for i := range 5 {
		out[named(fmt.Sprint("svc-", i))] = b.Held(named(fmt.Sprint("svc-", i)))
	}
	return out
}

func (b *fixture) check(t *testing.T) {
	t.Helper()
	owner := map[uint16]string{}
	for mirror, ports := range b.rightfuls() {
		for service, port := range ports {
			who := fmt.Sprint(mirror, "/", service)
			if other, twice := owner[port]; twice || !b.ports.contains(port) {
				t.Fatalf("port %d is both %s's and %s's, or out of range", port, other, who)
			}
			owner[port] = who
		}
	}
	for port := range b.held {
		if len(b.claims[port]) > 0 {
			t.Fatalf("port %d rests and is claimed", port)
		}
	}
	for c, port := range b.reserved {
		if b.held[port].by != c {
			t.Fatalf("port %d is reserved for %v, which it does not rest for", port, c)
		}
	}
}

func TestParseRange(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Range{
		"20000-59999": {20000, 59999}, "1024-65535": {1024, 65535}, "2000-2000": {2000, 2000},
		"": {}, "20000": {}, "4143-4143": {}, "1023-2000": {}, "3000-2000": {}, "2000-65536": {}, "a-b": {}, "2000-": {}, "-2000": {}, "2000-3000-4000": {}, " 2000-3000": {},
	} {
		got, err := ParseRange(text)
		if got != want || (err == nil) != (want != Range{}) {
			t.Errorf("%q gives %v, %v; want %v", text, got, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), "from 1024 to 65535") {
			t.Errorf("%q: the error %q does not say what to give", text, err)
		}
	}
}

// shared is an allocator for 100 ports, of which the mirrors of one cluster may have three.
type shared struct {
	*Allocator
	t *testing.T
}

func newShared(t *testing.T) shared {
	t.Helper()
	return shared{New(Range{Low: 20000, High: 20099}, 3, 0, func() time.Time { return day(1) }, func() {}), t}
}

func (s shared) assign(why string, want plan.EgressLimit, mirror, cluster string, service ...int32) {
	s.t.Helper()
	if _, lacks := s.Assign(named(mirror), cluster, service); lacks != want {
		s.t.Errorf("%s: lacks %q, want %q", why, lacks, want)
	}
}

// One target cannot use up the ports of all others (SEC-4), and which limit it met is told.
func TestOneClusterGetsItsShareOnly(t *testing.T) {
	t.Parallel()
	s := newShared(t)
	s.assign("within the share", "", "web-east", "east", 80, 443)
	s.assign("within the share", "", "api-east", "east", 80)
	s.assign("a fourth port of three", plan.EgressLimitShare, "big-east", "east", 80)
	s.assign("ports that it has already", "", "web-east", "east", 80, 443)
	s.assign("the share of another", "", "web-west", "west", 80, 443, 8080)
	if got := s.Usage(); got.ByCluster["east"] != 3 || got.ByCluster["west"] != 3 || got.Used != 6 || got.Free != 94 {
		t.Errorf("usage is %+v", got)
	}
	s.assign("with one port less", "", "web-east", "east", 80)
	s.assign("a port that was given back makes room", "", "big-east", "east", 80)
	s.Release(named("web-east"))
	s.Release(named("api-east"))
	s.assign("mirrors that are gone do not count", "", "big-east", "east", 80, 81, 82)
	service := make([]int32, 98)
	for i := range service {
		service[i] = int32(i + 1)
	}
	s.assign("more ports than there are", plan.EgressLimitRange, "all-north", "north", service...)
}

// What is there at a start counts for the share of its cluster before any mirror asks.
func TestShareOutlastsARestart(t *testing.T) {
	t.Parallel()
	s := newShared(t)
	s.See(named("web-east"), Seen{Cluster: "east", Since: day(1), Ports: plan.EgressPorts{80: 20001, 443: 20002, 444: 20003}})
	s.assign("a fourth port of three", plan.EgressLimitShare, "api-east", "east", 80)
	s.assign("the share of another", "", "api-west", "west", 80)
	s.assign("ports that it has already", "", "web-east", "east", 80, 443, 444)
}

// The ports that gateway pods listen on themselves go to nobody, and what leads to them is no claim.
func TestPortsOfGatewayPodsAreNotGiven(t *testing.T) {
	t.Parallel()
	b := newFixture(4142, 4144)
	b.see("web-east", day(1), plan.EgressPorts{80: 4143})
	ports := b.assign(t, "web-east", 80, 443)
	if ports[80] == 4143 || ports[443] == 4143 {
		t.Errorf("ports are %q", ports)
	}
	b.refused(t, "api-east", 80)
	if got := b.Usage(); got.Used != 2 || got.Free != 0 {
		t.Errorf("usage is %+v", got)
	}
	b.gone("web-east")
	if got := b.Usage(); got.Used != 0 || got.Resting != 2 || got.Free != 0 {
		t.Errorf("usage is %+v", got)
	}
	b.now = b.now.Add(holdTime)
	if got := b.Usage(); got.Resting != 0 || got.Free != 2 {
		t.Errorf("usage is %+v", got)
	}
}

// Whoever had a port when this process first gave one keeps it, however old the slices of the next are.
func TestWhoHasAPortKeepsIt(t *testing.T) {
	t.Parallel()
	b := newFixture(20000, 20099)
	b.see("web-east", day(5), plan.EgressPorts{80: 20007})
	given := b.assign(t, "api-east", 80)
	b.see("old-east", day(1), plan.EgressPorts{80: 20007, 81: given[80]})
	same(t, "seen at the start", plan.EgressPorts{80: 20007}, b.assign(t, "web-east", 80))
	same(t, "given since", given, b.assign(t, "api-east", 80))
	if got := b.assign(t, "old-east", 80, 81); got[80] == 20007 || got[81] == given[80] {
		t.Errorf("ports of others went to the newcomer: %q", got)
	}
}
