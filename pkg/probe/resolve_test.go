package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/pkg/link"
)

// LESSON-29: mirrors follow a name's addresses, of both families, and the others do not notice.
func TestNamesAreFollowed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		for _, address := range []string{"192.0.2.1:4191", "192.0.2.2:4191", "[2001:db8::1]:4191"} {
			b.net.set(address, alive)
		}
		b.dns.gives("gw.example.com", "192.0.2.1", "2001:db8::1")
		b.g.Set(testLink("gw.example.com"))
		b.advance(0)
		b.expectStates("east", map[string]State{"192.0.2.1": Alive, "2001:db8::1": Alive})
		b.takeChanges()
		before := b.net.dialed("[2001:db8::1]:4191")

		b.dns.gives("gw.example.com", "192.0.2.2", "2001:db8::1")
		b.advance(defaultResolveInterval * 12 / 10)
		b.expectStates("east", map[string]State{"192.0.2.2": Alive, "2001:db8::1": Alive})
		if len(b.takeChanges()) == 0 {
			t.Error("the change was not announced")
		}
		if got := b.net.dialed("[2001:db8::1]:4191") - before; got < 4 || got > 7 {
			t.Errorf("%d probes of the address that stayed in six periods, want its rhythm kept", got)
		}
	})
}

// LESSON-29: a name that stops resolving keeps its addresses, with their verdicts, for as long as it
// takes, and the failure is shown.
func TestNamesThatFailKeepTheirAddresses(t *testing.T) {
	cases := map[string]struct {
		fail func(d *dns)
		want string
	}{
		"NXDOMAIN": {func(d *dns) { d.fails("gw.example.com", notFound("gw.example.com")) },
			"gw.example.com: dns: no such host"},
		"empty": {func(d *dns) { d.gives("gw.example.com") },
			"gw.example.com: dns: no such host"},
		"blocked": {func(d *dns) { d.gives("gw.example.com", "0.0.0.0", "::") },
			"gw.example.com: dns: no such host"},
		"slow": {func(d *dns) { d.hangs("gw.example.com") },
			"gw.example.com: dns: the DNS did not answer in time"},
		"SERVFAIL": {func(d *dns) {
			d.fails("gw.example.com", &net.DNSError{Err: "server misbehaving", Name: "gw.example.com", IsTemporary: true})
		}, "gw.example.com: dns: the DNS could not answer"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				b.net.set("192.0.2.1:4191", alive)
				b.dns.gives("gw.example.com", "192.0.2.1", "2001:db8::1")
				b.g.Set(testLink("gw.example.com"))
				b.advance(5 * period)
				want := map[string]State{"192.0.2.1": Alive, "2001:db8::1": Dead}
				b.expectStates("east", want)
				b.takeChanges()

				tc.fail(b.dns)
				b.advance(time.Hour)
				b.expectStates("east", want)
				b.expectChanges("east") // once, when it began to fail
				b.expectDNSProblem(tc.want)

				b.dns.gives("gw.example.com", "192.0.2.1")
				b.advance(defaultResolveInterval + lookupTimeout + period)
				b.expectStates("east", map[string]State{"192.0.2.1": Alive})
				if problems := b.g.Problems("east"); problems != nil {
					t.Errorf("problems after recovery: %v", problems)
				}
			})
		})
	}
}

func (b *bubble) expectDNSProblem(want string) {
	b.t.Helper()
	problems := b.g.Problems("east")
	if len(problems) != 1 {
		b.t.Fatalf("problems = %v, want one", problems)
	}
	if diff := cmp.Diff(want, problems[0].Error()); diff != "" || stepOf(problems[0]) != StepDNS {
		b.t.Errorf("problem (-want +got):\n%s", diff)
	}
}

// A gateway counts as resolved when each of its names has had its first answer, good or bad, and
// that is announced. A slow name holds up nothing but itself.
func TestResolved(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.net.set("192.0.2.1:4191", alive)
		b.net.set("192.0.2.2:4191", alive)
		b.dns.gives("quick.example.com", "192.0.2.2")
		b.dns.hangs("slow.example.com")
		b.g.Set(testLink("192.0.2.1", "quick.example.com", "missing.example.com", "slow.example.com"))
		b.advance(lookupTimeout - 1)
		b.expectStates("east", map[string]State{"192.0.2.1": Alive, "192.0.2.2": Alive})
		if _, resolved := b.g.Addresses("east"); resolved {
			t.Error("resolved while a name has had no answer")
		}
		b.takeChanges()
		b.advance(1)
		if _, resolved := b.g.Addresses("east"); !resolved {
			t.Error("not resolved after each name had its answer")
		}
		b.expectChanges("east")
		if got := len(b.g.Problems("east")); got != 2 {
			t.Errorf("%d problems, want two names", got)
		}
	})
}

// The first answer is announced even if it brings no address that was not known, and so is the end of
// waiting for a name that leaves the Link.
func TestResolvedIsAnnounced(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.net.set("192.0.2.1:4191", alive)
		b.dns.does("same.example.com", func(context.Context) ([]netip.Addr, error) {
			<-time.After(time.Second)
			return parseAddrs("192.0.2.1"), nil
		})
		b.dns.hangs("slow.example.com")
		b.g.Set(testLink("192.0.2.1", "same.example.com"))
		b.advance(time.Second - 1)
		b.takeChanges()
		b.advance(1)
		b.expectChanges("east")

		b.g.Set(testLink("192.0.2.1", "slow.example.com"))
		b.advance(time.Second)
		b.takeChanges()
		b.g.Set(testLink("192.0.2.1"))
		b.advance(0)
		b.expectChanges("east")
		was := b.dns.total()
		b.advance(10 * defaultResolveInterval)
		if got := b.dns.total(); got != was {
			t.Errorf("%d look-ups of names that left the Link", got-was)
		}
	})
}

// A name that fails for an hour is logged once, and once more when it is well again.
func TestProblemsAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		var mu sync.Mutex
		logged := 0
		b.g.log = funcr.New(func(_, args string) {
			mu.Lock()
			defer mu.Unlock()
			if strings.Contains(args, "problems") {
				logged++
			}
		}, funcr.Options{})
		b.start()
		defer b.stop()
		b.net.set("192.0.2.1:4191", flaps()) // with verdicts that change all the time, so that there is much to announce
		b.g.Set(changedLink(testLink("192.0.2.1", "gw.example.com"), func(gw *link.Gateway) { gw.Probe.FailureThreshold = 1 }))
		b.advance(30 * time.Minute)
		b.g.Set(testLink("192.0.2.1", "192.0.2.2", "gw.example.com"))
		b.advance(30 * time.Minute)
		mu.Lock()
		if logged != 1 {
			t.Errorf("logged %d times while the name failed, want once", logged)
		}
		mu.Unlock()
		b.dns.gives("gw.example.com", "192.0.2.3")
		b.advance(2 * defaultResolveInterval)
		mu.Lock()
		defer mu.Unlock()
		if logged != 2 {
			t.Errorf("logged %d times in all, want once more after recovery", logged)
		}
	})
}

// LESSON-29: look-ups are one per name and interval, however many probes and edits there are.
func TestLookupsAreCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.dns.gives("gw.example.com", manyAddrs(20)...)
		l := testLink("gw.example.com")
		for range 100 {
			b.g.Set(l)
			l.Generation++
		}
		b.advance(10 * defaultResolveInterval)
		got := b.dns.total()
		if got < 9 || got > 13 {
			t.Errorf("%d look-ups in ten intervals, want about 11", got)
		}
		counted := b.value("linkspan_gateway_lookups_total", map[string]string{"result": "success"})
		if counted != float64(got) {
			t.Errorf("%v look-ups counted, want %d", counted, got)
		}
		b.g.Remove("east")
		b.advance(10 * defaultResolveInterval)
		if after := b.dns.total(); after != got {
			t.Errorf("%d look-ups after the Link had gone", after-got)
		}
	})
}

// One family may be gone, but only the DNS's word for it counts, not its failure.
func TestNameTake(t *testing.T) {
	failed := answer{err: errors.New("server misbehaving")}
	absent := answer{err: notFound("gw.example.com")}
	cases := map[string]struct {
		v4, v6 answer
		want   []string
		fails  bool
	}{
		"both new":          {answer{addrs: parseAddrs("192.0.2.9")}, answer{addrs: parseAddrs("2001:db8::9")}, []string{"192.0.2.9", "2001:db8::9"}, false},
		"IPv6 is gone":      {answer{addrs: parseAddrs("192.0.2.9")}, absent, []string{"192.0.2.9"}, false},
		"IPv6 has failed":   {answer{addrs: parseAddrs("192.0.2.9")}, failed, []string{"192.0.2.9", "2001:db8::1"}, false},
		"IPv4 has failed":   {failed, answer{addrs: parseAddrs("2001:db8::9")}, []string{"192.0.2.1", "2001:db8::9"}, false},
		"both are gone":     {absent, absent, []string{"192.0.2.1", "2001:db8::1"}, true},
		"gone and failed":   {absent, failed, []string{"192.0.2.1", "2001:db8::1"}, true},
		"both have failed":  {failed, failed, []string{"192.0.2.1", "2001:db8::1"}, true},
		"failed and absent": {failed, absent, []string{"192.0.2.1", "2001:db8::1"}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			n := newTestName()
			n.take(tc.v4, tc.v6)
			var got []string
			for _, ip := range append(n.v4, n.v6...) {
				got = append(got, ip.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
			if !n.settled || (n.problem != nil) != tc.fails {
				t.Errorf("settled %v, problem %v; want a problem: %v", n.settled, n.problem, tc.fails)
			}
		})
	}
}

func newTestName() *name {
	return &name{host: "gw.example.com", v4: parseAddrs("192.0.2.1"), v6: parseAddrs("2001:db8::1")}
}
