package probe

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/linkspan/linkspan/pkg/link"
)

// LESSON-60: whatever a probe or a look-up is waiting for, they end with their context, and at once:
// the clock of the bubble does not move.
func TestStopIsImmediate(t *testing.T) {
	cases := map[string]func(b *bubble){
		"a hanging dial":    func(b *bubble) { b.net.set("192.0.2.1:4191", drops) },
		"a silent gateway":  func(b *bubble) { b.net.set("192.0.2.1:4191", hangs("")) },
		"between probes":    func(b *bubble) { b.net.set("192.0.2.1:4191", alive) },
		"a hanging look-up": func(b *bubble) { b.dns.hangs("gw.example.com") },
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				prepare(b)
				b.g.Set(testLink("192.0.2.1", "gw.example.com"))
				b.advance(time.Second)
				started := time.Now()
				b.stop()
				if took := time.Since(started); took >= time.Second {
					t.Errorf("stopped after %v, want less than 1s", took)
				}
				b.g.Set(testLink("192.0.2.7")) // after the end nothing starts; goleak would see it
				b.advance(period)
				if got := b.net.dialed("192.0.2.7:4191"); got != 0 {
					t.Errorf("%d probes after the end", got)
				}
			})
		})
	}
}

// Start returns when all loops have ended, not before.
func TestStartWaitsForItsLoops(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		ended := false
		b.net.set("192.0.2.1:4191", func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			<-time.After(time.Millisecond) // a dialer that needs a moment
			ended = true
			return nil, ctx.Err()
		})
		b.g.Set(testLink("192.0.2.1"))
		b.advance(0)
		b.stop()
		if !ended {
			t.Error("Start returned before a probe had ended")
		}
	})
}

// A look-up that ends after its Link has gone starts nothing.
func TestRemoveDuringLookup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.net.set("192.0.2.1:4191", alive)
		b.dns.does("gw.example.com", func(ctx context.Context) ([]netip.Addr, error) {
			<-ctx.Done()
			return parseAddrs("192.0.2.1"), nil
		})
		b.g.Set(testLink("gw.example.com"))
		b.advance(time.Second)
		b.g.Remove("east")
		b.advance(10 * period)
		if got := b.net.dialed("192.0.2.1:4191"); got != 0 {
			t.Errorf("%d probes for a Link that has gone", got)
		}
		if got := b.series(); got != 0 {
			t.Errorf("%d series for a Link that has gone", got)
		}
	})
}

// A change that was not announced yet is not announced any more once its Link has gone.
func TestRemoveBeforeTheAnnouncement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		busy := make(chan struct{})
		b.g.onChange = func(n link.Name) {
			b.onChange(n)
			<-busy
		}
		b.start()
		defer b.stop()
		west := testLink("192.0.2.2")
		west.Name, west.Cluster = "west", "west"
		b.g.Set(west)
		b.advance(0) // the announcer is now busy with west
		b.g.Set(testLink("192.0.2.1"))
		b.g.Remove("east")
		close(busy)
		b.advance(time.Second)
		b.expectChanges("west")
	})
}

func TestRemove(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.net.set("192.0.2.1:4191", drops)
		b.g.Set(testLink("192.0.2.1"))
		b.advance(time.Second)
		b.takeChanges()
		b.g.Remove("east")
		b.g.Remove("never-seen")
		if addrs, resolved := b.g.Addresses("east"); addrs != nil || resolved || b.g.Problems("east") != nil {
			t.Errorf("a removed Link still has addresses %v (resolved %v)", addrs, resolved)
		}
		b.advance(10 * period)
		b.expectChanges()
		if got := b.net.dialed("192.0.2.1:4191"); got != 1 {
			t.Errorf("%d probes, want only the one before the removal", got)
		}
	})
}

// Links that come before Start are remembered; those that go before it are forgotten.
func TestBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.net.set("192.0.2.1:4191", alive)
		b.g.Set(testLink("192.0.2.9"))
		b.g.Set(testLink("192.0.2.1")) // the newest counts
		west := testLink("192.0.2.2")
		west.Name, west.Cluster = "west", "west"
		b.g.Set(west)
		b.g.Remove("west")
		if _, resolved := b.g.Addresses("east"); resolved {
			t.Error("resolved before Start")
		}
		b.start()
		defer b.stop()
		b.expectStates("east", map[string]State{"192.0.2.1": Alive})
		b.expectStates("west", map[string]State{})
		if err := b.g.Start(t.Context()); err == nil {
			t.Error("a second Start did not fail")
		}
	})
}

// A Link without a gateway has nothing to probe, and nothing to wait for.
func TestGatewayComesAndGoes(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.net.set("192.0.2.1:4191", alive)
		without := link.Link{Name: "east", Cluster: "east"}
		b.g.Set(without)
		b.advance(0)
		if addrs, resolved := b.g.Addresses("east"); len(addrs) != 0 || !resolved {
			t.Errorf("without a gateway: addresses %v, resolved %v", addrs, resolved)
		}
		b.g.Set(testLink("192.0.2.1"))
		b.advance(0)
		b.expectStates("east", map[string]State{"192.0.2.1": Alive})
		b.takeChanges()
		b.g.Set(without)
		b.advance(period)
		b.expectStates("east", map[string]State{})
		b.expectChanges("east")
	})
}
