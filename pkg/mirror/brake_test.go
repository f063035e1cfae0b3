package mirror

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/link/remote"
)

// fleet is a Link's mirrors and which of their services the target no longer has.
type fleet struct {
	total   int
	missing map[int]bool
	counts  int
}

func newFleet(total int, missing ...int) *fleet {
	f := &fleet{total: total, missing: map[int]bool{}}
	f.lose(missing...)
	return f
}

func (f *fleet) lose(services ...int) {
	for _, i := range services {
		f.missing[i] = true
	}
}

// gone is what a deletion leaves behind: one mirror less, one missing less.
func (f *fleet) gone(i int) {
	delete(f.missing, i)
	f.total--
}

func (f *fleet) count() ([]remote.ServiceKey, int) {
	f.counts++
	keys := make([]remote.ServiceKey, 0, len(f.missing))
	for i := range f.missing {
		keys = append(keys, numbered(i))
	}
	return keys, f.total
}

func numbered(i int) remote.ServiceKey {
	return remote.ServiceKey{Namespace: "shop", Name: fmt.Sprintf("s%d", i)}
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// LESSON-28: more than half of a Link's mirrors, and at least ten, is what is not believed.
func TestBrakeHoldsMassDeletions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		total, missing int
		want           bool
	}{
		"one of one is a deletion":             {total: 1, missing: 1},
		"all of nine are too few to hold":      {total: 9, missing: 9},
		"all of ten":                           {total: 10, missing: 10, want: true},
		"exactly half is not more than half":   {total: 20, missing: 10},
		"one more than half":                   {total: 20, missing: 11, want: true},
		"many, but far from half":              {total: 10_000, missing: 4_000},
		"a target that lists nothing any more": {total: 10_000, missing: 10_000, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBrake(newClock().Now, time.Hour)
			f := newFleet(c.total, upTo(c.missing)...)
			if got := b.holds(link.Link{Name: "east"}, numbered(0), f.count); got != c.want {
				t.Errorf("%d of %d missing: held is %v, want %v", c.missing, c.total, got, c.want)
			}
			if held := b.held("east"); (held != nil) != c.want {
				t.Errorf("reported as held: %+v", held)
			}
			if b.held("west") != nil {
				t.Error("another Link is held as well")
			}
		})
	}
}

// What was let go is what was missing then, and nothing that goes missing later.
func TestBrakeReleases(t *testing.T) {
	t.Parallel()
	start := newClock().Now()
	for name, c := range map[string]struct {
		hold    time.Duration
		release time.Time
		after   time.Duration
		want    bool
	}{
		"held within its time":                       {hold: time.Hour, after: 59 * time.Minute, want: true},
		"let go when its time is over":               {hold: time.Hour, after: time.Hour},
		"held for ever without a time":               {after: 1000 * time.Hour, want: true},
		"let go by an annotation":                    {release: start.Add(time.Second), after: 2 * time.Second},
		"by one of the same second":                  {release: start, after: 2 * time.Second},
		"not by one from before":                     {release: start.Add(-time.Second), after: 2 * time.Second, want: true},
		"by an annotation when its time is not over": {hold: time.Hour, release: start.Add(time.Minute), after: 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			b := newBrake(clock.Now, c.hold)
			f := newFleet(20, upTo(20)...)
			if !b.holds(link.Link{Name: "east"}, numbered(0), f.count) {
				t.Fatal("not held at first")
			}
			clock.advance(c.after)
			l := link.Link{Name: "east", ReleaseMassDeletion: c.release}
			if got := b.holds(l, numbered(0), f.count); got != c.want {
				t.Errorf("held is %v, want %v", got, c.want)
			}
		})
	}
}

func TestBrakeWaves(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newBrake(clock.Now, time.Hour)
	l := link.Link{Name: "east"}
	f := newFleet(40, upTo(30)...)
	if !b.holds(l, numbered(0), f.count) {
		t.Fatal("the first wave is not held")
	}
	clock.advance(time.Hour)
	for i := range 15 { // a release that is half done goes on, also when what is left is mass again or is not
		if b.holds(l, numbered(i), f.count) {
			t.Fatalf("mirror %d of the wave that was let go is held", i)
		}
		f.gone(i)
		clock.advance(time.Minute)
	}
	f.lose(30, 31, 32, 33, 34, 35, 36, 37, 38, 39)
	if !b.holds(l, numbered(30), f.count) {
		t.Error("a second wave passes while the first is being carried out")
	}
	if b.holds(l, numbered(20), f.count) {
		t.Error("the second wave holds up what was let go before")
	}
	for i := 15; i < 30; i++ {
		f.gone(i)
	}
	// The services come back, and long after are gone again: nothing of the first release is left.
	for i := range 30 {
		b.present("east", numbered(i))
	}
	f = newFleet(30, upTo(30)...)
	clock.advance(1000 * time.Hour)
	b.review(l, newFleet(40).count)
	if !b.holds(l, numbered(0), f.count) {
		t.Error("a wave long after a release passes")
	}
}

// Nobody asks about a deletion any more when the services are back, so the report asks.
func TestBrakeEndsWhenTheServicesAreBack(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newBrake(clock.Now, 0)
	l := link.Link{Name: "east"}
	b.review(l, func() ([]remote.ServiceKey, int) { t.Error("counted although nothing is held"); return nil, 0 })
	b.holds(l, numbered(0), newFleet(20, upTo(20)...).count)
	b.review(l, newFleet(20, upTo(15)...).count)
	if h := b.held("east"); h == nil || h.Missing != 15 {
		t.Errorf("held is %+v, want 15 missing", h)
	}
	b.review(l, newFleet(20, 1, 2).count)
	if h := b.held("east"); h != nil {
		t.Errorf("still held: %+v", h)
	}
}

// Counting walks over every mirror, so it is not done for each of thousands that are held; but a
// count that lets one pass is never used for the next.
func TestBrakeCountsSeldomWhileItHolds(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newBrake(clock.Now, 0)
	l := link.Link{Name: "east"}
	f := newFleet(5000, upTo(5000)...)
	for i := range 5000 {
		b.holds(l, numbered(i), f.count)
	}
	if f.counts != 1 {
		t.Errorf("counted %d times within a moment", f.counts)
	}
	clock.advance(brakeCount)
	b.holds(l, numbered(1), f.count)
	if f.counts != 2 {
		t.Errorf("counted %d times, want a second count after %s", f.counts, brakeCount)
	}
	few := newFleet(20, 1)
	if b.holds(link.Link{Name: "west"}, numbered(1), few.count) {
		t.Error("one of twenty is held")
	}
	few.lose(upTo(20)...)
	if !b.holds(link.Link{Name: "west"}, numbered(2), few.count) {
		t.Error("the rest of the list went missing a moment later and passes")
	}
}

// A restart goes on where the process before it was; what this process found out counts more.
func TestBrakeResumes(t *testing.T) {
	t.Parallel()
	clock := newClock()
	l := link.Link{Name: "east"}
	since := clock.Now().Add(-50 * time.Minute)
	want := &remote.HeldDeletion{Since: since, Until: since.Add(time.Hour)}

	b := newBrake(clock.Now, time.Hour)
	b.resume("east", since)
	if diff := cmp.Diff(want, b.held("east")); diff != "" {
		t.Errorf("before the first count (-want +got):\n%s", diff)
	}
	all := newFleet(20, upTo(20)...)
	if !b.holds(l, numbered(0), all.count) {
		t.Error("not held any more")
	}
	b.resume("east", time.Time{})
	if left, ok := b.left("east"); !ok || left != 10*time.Minute {
		t.Errorf("left are %s (%v), want the 10 minutes that were left before", left, ok)
	}
	clock.advance(10 * time.Minute)
	if b.holds(l, numbered(0), all.count) {
		t.Error("held longer than the hold, restart or not")
	}
	b.resume("east", since)
	if b.held("east") != nil {
		t.Error("the status, which trails, holds again what was let go")
	}

	standby := newBrake(clock.Now, time.Hour)
	standby.resume("east", since)
	standby.resume("east", time.Time{}) // the leader let go: an old time must not let the next wave pass
	standby.holds(l, numbered(0), all.count)
	if left, ok := standby.left("east"); !ok || left != time.Hour {
		t.Errorf("left are %s (%v), want the whole hour", left, ok)
	}
}

func TestBrakeLeft(t *testing.T) {
	t.Parallel()
	clock := newClock()
	all := newFleet(20, upTo(20)...)
	for name, hold := range map[string]time.Duration{"for an hour": time.Hour, "for ever": 0} {
		b := newBrake(clock.Now, hold)
		if _, ok := b.left("east"); ok {
			t.Errorf("%s: nothing is held, and it has an end", name)
		}
		b.holds(link.Link{Name: "east"}, numbered(0), all.count)
		if left, ok := b.left("east"); ok != (hold > 0) || left != hold {
			t.Errorf("%s: left are %s (%v)", name, left, ok)
		}
		b.forget("east")
		if b.held("east") != nil {
			t.Errorf("%s: held after its Link is gone", name)
		}
	}
}

// A service that is seen again belongs to the wave that was let go no more, although no count was
// made since.
func TestBrakeForgetsAReleaseWhenTheServiceIsBack(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newBrake(clock.Now, 0)
	released := link.Link{Name: "east", ReleaseMassDeletion: clock.Now()}
	all := newFleet(20, upTo(20)...)
	for i := range 20 {
		if b.holds(released, numbered(i), all.count) {
			t.Fatalf("mirror %d is held in spite of the annotation", i)
		}
	}
	for i := range 20 {
		b.present("east", numbered(i))
	}
	clock.advance(24 * time.Hour)
	if !b.holds(released, numbered(0), all.count) {
		t.Error("yesterday's annotation lets today's wave pass")
	}
}
