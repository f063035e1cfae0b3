package probe

import (
	"context"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/pkg/link"
)

// LESSON-3: a gateway that is dead when we start is Unknown until the threshold, and then Dead, and
// that is announced.
func TestDeadAtStart(t *testing.T) {
	cases := map[string]struct {
		does behaviour
		// unknownUntil and deadBy leave room for the jitter.
		unknownUntil, deadBy time.Duration
	}{
		"refused": {refuses, 2 * period * 9 / 10, 2 * period * 11 / 10},
		"503":     {unavailable, 2 * period * 9 / 10, 2 * period * 11 / 10},
		"dropped": {drops, 3*period - 1, 3*period + 2*period/10},
		"silent":  {hangs(""), 3*period - 1, 3*period + 2*period/10},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				b.net.set("192.0.2.1:4191", tc.does)
				b.g.Set(testLink("192.0.2.1"))
				b.advance(tc.unknownUntil - 1)
				b.expectStates("east", map[string]State{"192.0.2.1": Unknown})
				b.expectChanges("east") // the new address

				b.advance(tc.deadBy - tc.unknownUntil + 1)
				b.expectStates("east", map[string]State{"192.0.2.1": Dead})
				b.expectChanges("east")
				if got := b.value("gateway_alive", map[string]string{"target_cluster_name": "east"}); got != 0 {
					t.Errorf("gateway_alive = %v, want 0", got)
				}
			})
		})
	}
}

// LESSON-3: over 50 restarts with a live gateway nothing but Unknown and Alive is ever seen, and Alive
// comes at once (LESSON-60: the first probe does not wait for a period).
func TestRestartNeverFlickers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 50 {
			b := newBubble(t)
			b.net.set("192.0.2.1:4191", alive)
			b.g.Set(testLink("192.0.2.1"))
			b.start()
			b.expectStates("east", map[string]State{"192.0.2.1": Alive})
			b.advance(5 * period)
			b.expectStates("east", map[string]State{"192.0.2.1": Alive})
			if slices.Contains(b.seen, Dead) {
				t.Fatalf("a live gateway was seen as %v", b.seen)
			}
			b.stop()
		}
	})
}

// LESSON-30: each address has its own verdict. One that dies leaves the others alone, and it comes
// back after two successes in a row.
func TestEachAddressHasItsOwnVerdict(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		for _, address := range []string{"192.0.2.1:4191", "192.0.2.2:4191", "[2001:db8::3]:4191"} {
			b.net.set(address, alive)
		}
		b.g.Set(testLink("192.0.2.1", "192.0.2.2", "2001:db8::3"))
		b.advance(0)
		b.expectStates("east", map[string]State{"192.0.2.1": Alive, "192.0.2.2": Alive, "2001:db8::3": Alive})
		b.takeChanges()

		b.net.set("192.0.2.2:4191", refuses)
		b.advance(4 * period)
		b.expectStates("east", map[string]State{"192.0.2.1": Alive, "192.0.2.2": Dead, "2001:db8::3": Alive})
		b.expectChanges("east")
		if got := b.value("linkspan_gateway_address_alive", map[string]string{"address": "192.0.2.2"}); got != 0 {
			t.Errorf("linkspan_gateway_address_alive of the dead address = %v, want 0", got)
		}
		if got := b.value("gateway_alive", map[string]string{"target_cluster_name": "east"}); got != 1 {
			t.Errorf("gateway_alive = %v while two addresses are alive, want 1", got)
		}

		b.net.set("192.0.2.2:4191", flaps())
		b.advance(20 * period)
		b.expectChanges() // hysteresis: single successes are not enough
		b.net.set("192.0.2.2:4191", alive)
		b.advance(3 * period)
		b.expectStates("east", map[string]State{"192.0.2.1": Alive, "192.0.2.2": Alive, "2001:db8::3": Alive})
		b.expectChanges("east")
	})
}

func TestAddressesSayWhatWasSeen(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.dns.gives("gw.example.com", "192.0.2.1")
		b.net.set("192.0.2.1:4191", func(ctx context.Context) (net.Conn, error) {
			<-time.After(20 * time.Millisecond)
			return alive(ctx)
		})
		b.g.Set(testLink("192.0.2.2", "gw.example.com"))
		b.advance(time.Second)

		got, resolved := b.g.Addresses("east")
		want := []Address{
			{Name: "gw.example.com", IP: parseAddrs("192.0.2.1")[0], State: Alive, Latency: 20 * time.Millisecond},
			{IP: parseAddrs("192.0.2.2")[0], State: Unknown, LastError: "192.0.2.2:4191: connect: connection refused"},
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b Address) bool { return a == b })); diff != "" || !resolved {
			t.Errorf("resolved = %v, addresses (-want +got):\n%s", resolved, diff)
		}

		// An error of the past is gone with the next success; the latency stays.
		b.net.set("192.0.2.1:4191", refuses)
		b.net.set("192.0.2.2:4191", alive)
		b.advance(period * 12 / 10)
		got, _ = b.g.Addresses("east")
		if got[0].Latency != 20*time.Millisecond || got[0].LastError == "" || got[0].State != Alive {
			t.Errorf("after one failure: %+v, want the last latency, the error, and still alive", got[0])
		}
		if got[1].LastError != "" || got[1].State != Alive {
			t.Errorf("after a success: %+v, want no error and alive", got[1])
		}
	})
}

// LESSON-17: the port comes from the Link. A change is followed at once, without a restart of
// anything and without losing the verdict.
func TestProbeSettingsAreFollowed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.net.set("192.0.2.1:4191", alive)
		l := testLink("192.0.2.1")
		b.g.Set(l)
		b.advance(10 * period)
		b.takeChanges()
		before := b.net.dialed("192.0.2.1:4191")

		// To a port where nobody listens: the verdict stays until the threshold is reached anew.
		moved := changedLink(l, func(gw *link.Gateway) { gw.Probe.Port = 30101; gw.Probe.FailureThreshold = 2 })
		b.g.Set(moved)
		b.advance(0)
		if got := b.net.dialed("192.0.2.1:30101"); got != 1 {
			t.Errorf("%d probes of the new port at once, want 1", got)
		}
		b.expectStates("east", map[string]State{"192.0.2.1": Alive})
		b.expectChanges()
		b.advance(period * 12 / 10)
		b.expectStates("east", map[string]State{"192.0.2.1": Dead})
		if got := b.net.dialed("192.0.2.1:4191"); got != before {
			t.Errorf("%d more probes of the old port", got-before)
		}

		// A shorter period.
		quick := changedLink(moved, func(gw *link.Gateway) { gw.Probe.Period = period / 10; gw.Probe.Timeout = period / 10 })
		b.g.Set(quick)
		was := b.net.dialed("192.0.2.1:30101")
		b.advance(period)
		if got := b.net.dialed("192.0.2.1:30101") - was; got < 9 || got > 13 {
			t.Errorf("%d probes in ten periods, want about 11", got)
		}
	})
}

// A probe that was under way when the settings changed says nothing about the new ones.
func TestResultUnderOldSettingsIsDropped(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.net.set("192.0.2.1:4191", drops)
		b.net.set("192.0.2.1:30101", hangs(""))
		l := changedLink(testLink("192.0.2.1"), func(gw *link.Gateway) { gw.Probe.FailureThreshold = 1 })
		b.g.Set(l)
		b.advance(period - 1)
		b.g.Set(changedLink(l, func(gw *link.Gateway) { gw.Probe.Port = 30101 }))
		b.advance(period - 1)
		b.expectStates("east", map[string]State{"192.0.2.1": Unknown})
		if n := b.series("gateway_probes"); n != 0 {
			t.Errorf("%d series of gateway_probes, want none: no probe came to its end", n)
		}
		b.advance(2)
		b.expectStates("east", map[string]State{"192.0.2.1": Dead})
	})
}

// Labels of a Link, its traffic port and its identity have nothing to do with probes: an edit
// disturbs nothing.
func TestUnrelatedEditsDisturbNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.net.set("192.0.2.1:4191", alive)
		l := testLink("192.0.2.1")
		b.g.Set(l)
		b.advance(0)
		b.takeChanges()
		for range 10 {
			l.Generation++
			l = changedLink(l, func(gw *link.Gateway) { gw.Port++; gw.Identity += "x" })
			b.g.Set(l)
			b.advance(0)
		}
		if got := b.net.dialed("192.0.2.1:4191"); got != 1 {
			t.Errorf("%d probes, want only the first", got)
		}
		b.expectChanges()
	})
}

// Addresses come and go without the others noticing.
func TestAddressSetIsFollowed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		for _, address := range []string{"192.0.2.1:4191", "192.0.2.2:4191", "192.0.2.3:4191"} {
			b.net.set(address, alive)
		}
		b.g.Set(testLink("192.0.2.1", "192.0.2.2"))
		b.advance(0)
		b.takeChanges()
		b.g.Set(testLink("192.0.2.3", "192.0.2.2", "::ffff:192.0.2.2"))
		b.advance(0)
		b.expectStates("east", map[string]State{"192.0.2.2": Alive, "192.0.2.3": Alive})
		if got := b.net.dialed("192.0.2.2:4191"); got != 1 {
			t.Errorf("%d probes of the address that stayed, want 1", got)
		}
		if len(b.takeChanges()) == 0 {
			t.Error("the change of the set was not announced")
		}
		gone := b.net.dialed("192.0.2.1:4191")
		b.advance(5 * period)
		if got := b.net.dialed("192.0.2.1:4191"); got != gone {
			t.Errorf("%d probes of an address after it had gone", got-gone)
		}
	})
}

// onChange is for changes: a minute of probes with the same result is none.
func TestProbesAloneAreNotAnnounced(t *testing.T) {
	inBubble(t, func(_ *testing.T, b *bubble) {
		b.net.set("192.0.2.1:4191", alive)
		b.dns.gives("gw.example.com", "192.0.2.2")
		b.g.Set(testLink("192.0.2.1", "gw.example.com"))
		b.advance(5 * period)
		b.takeChanges()
		b.advance(10 * time.Minute)
		b.expectChanges()
	})
}

// The timeout is never longer than the period, or probes would fall behind their rhythm.
func TestTimeoutIsAtMostThePeriod(t *testing.T) {
	inBubble(t, func(_ *testing.T, b *bubble) {
		b.net.set("192.0.2.1:4191", drops)
		b.g.Set(changedLink(testLink("192.0.2.1"), func(gw *link.Gateway) { gw.Probe.Timeout = 10 * period }))
		b.advance(3*period + 2*period/10)
		b.expectStates("east", map[string]State{"192.0.2.1": Dead})
	})
}

// Jitter: probes that start together do not stay together, and none is further from its period than
// a tenth.
func TestJitter(t *testing.T) {
	low, high := period, period
	for range 1000 {
		d := jittered(period)
		low, high = min(low, d), max(high, d)
	}
	if low < period*9/10 || high > period*11/10 || high-low < period/10 {
		t.Errorf("periods from %v to %v, want them spread over %v to %v", low, high, period*9/10, period*11/10)
	}
}

// No more addresses than the limit are probed, and that is said.
func TestLimit(t *testing.T) {
	cases := map[string]func(b *bubble) link.Link{
		"in the Link": func(*bubble) link.Link { return testLink(manyAddrs(40)...) },
		"by a name": func(b *bubble) link.Link {
			b.dns.gives("gw.example.com", manyAddrs(40)...)
			return testLink("gw.example.com")
		},
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				l := prepare(b)
				b.g.Set(l)
				b.advance(0)
				if addrs, _ := b.g.Addresses("east"); len(addrs) != 32 {
					t.Errorf("%d addresses are probed, want 32", len(addrs))
				}
				problems := b.g.Problems("east")
				if len(problems) != 1 {
					t.Fatalf("problems = %v, want one", problems)
				}
				want := "the gateway has more than 32 addresses: 8 are not probed or used (--probe-max-addresses)"
				if diff := cmp.Diff(want, problems[0].Error()); diff != "" {
					t.Errorf("problem (-want +got):\n%s", diff)
				}
			})
		})
	}
}
