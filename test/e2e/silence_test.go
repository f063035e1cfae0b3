package e2e

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/linkspan/linkspan/test/rig"
)

const (
	// unanswered is the documented time after which an end that is gone is noticed (package tunnel).
	unanswered = 20 * time.Second
	// unansweredSlack is for a busy machine.
	unansweredSlack = 5 * time.Second
)

// playSilence has three gateways: one whose machine falls silent, one that stays, and one whose process is
// frozen while its kernel goes on answering for it.
func playSilence(t *testing.T, w *world) {
	silent, stays, frozen := w.ingress(t, ingressOne), w.ingress(t, ingressTwo), w.ingress(t, ingressThree)
	// The second one has one lane to each gateway, and so both kinds of connections.
	lanes, both := w.egress(t, egressOne), w.egress(t, egressTwo, "--lanes=1")
	w.link(t, silent.host, stays.host, frozen.host)
	w.controller(t, w.pki.mount(t, inWest, controllerAccount))
	app := w.export(t, web)
	way := w.through(t, web)
	way.expectOpen(t, lanes.host, both.host)
	w.expectAlive(t, silent.host, stays.host, frozen.host)

	// One after the other, streams of one pod of the egress go round the gateways: two to each.
	const each, gateways = 2, 3
	onLanes := startAll(t, way.to(t, talkPort, lanes.host), "lane", each*gateways)
	onBoth := startAll(t, way.to(t, talkPort, both.host), "lane or mux", each*gateways)
	var quiet []*waiting
	for i := range gateways {
		name := fmt.Sprint("quiet ", i)
		quiet = append(quiet, startWaiting(t, begin(t, way.to(t, talkPort, lanes.host), verbSink, name)))
		app.expectBegun(t, name) // else the next one might overtake it, and take its turn
	}
	for i := range 4 * gateways { // leaves idle connections to all gateways
		if err := way.fetch(fmt.Sprint("/before/", i)); err != nil {
			t.Fatal(err)
		}
	}

	restore, err := rig.Silence(silent.host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := restore(); err != nil {
			t.Error(err)
		}
	})
	frozen.freeze(t)
	t.Cleanup(func() { frozen.thaw(t) }) // it could not end otherwise
	since := time.Now()
	early := startEarly(way)
	w.expectAlive(t, stays.host)
	verdict := time.Since(since)
	for _, out := range []*half{lanes, both} {
		expectKnown(t, way.to(t, httpPort, out.host), gateways)
	}

	requests := startLoad(t, way.fetch)
	requests.await(t, 2*stepRequests)
	requests.expectNoFailure(t)
	if slowest := requests.slowest(); slowest > connectTimeout {
		t.Errorf("with the verdict in, the slowest request took %v", slowest)
	}

	cut := expectCuts(t, "lane", onLanes, each, since)
	// A frozen process answers no ping of a mux. On a lane nobody can tell it from an application that takes its time.
	bothCut := expectCuts(t, "lane or mux", onBoth, each+1, since)
	quietCut := expectCuts(t, "quiet", quiet, 1, since)
	frozenFor := time.Since(since)
	frozen.thaw(t)
	for _, s := range slices.Concat(onLanes, onBoth) {
		if !s.over() {
			s.expectAlive(t)
			s.finish(t)
		}
	}
	t.Logf("measured: verdict after %v; streams on lanes to the silent gateway were cut after %v, those on a mux to the frozen one with them after %v, quiet ones after %v; others to the one frozen for %v ended well",
		verdict.Round(time.Millisecond), cut, bothCut, quietCut, frozenFor.Round(time.Millisecond))
	early.report(t)
}

// expectKnown waits until a pod of the egress has heard of the verdict: all its turns go to the one that stays.
func expectKnown(t *testing.T, address string, gateways int) {
	t.Helper()
	expectSoon(t, func() error {
		for i := range 2 * gateways {
			if err := fetchFrom(address, fmt.Sprint("/known/", i), connectTimeout/3); err != nil {
				return err
			}
		}
		return nil
	})
}

func startAll(t *testing.T, address, name string, n int) []*beating {
	t.Helper()
	streams := make([]*beating, 0, n)
	for i := range n {
		streams = append(streams, startBeating(t, address, fmt.Sprint(name, " ", i)))
	}
	return streams
}

// ending is a stream that may end by itself.
type ending interface {
	over() bool
	end() (time.Time, error)
}

// expectCuts wants so many of the streams to be cut, and says when.
func expectCuts[T ending](t *testing.T, what string, streams []T, want int, since time.Time) (after []time.Duration) {
	t.Helper()
	const limit = unanswered + unansweredSlack
	ended := func() (n int) {
		for _, s := range streams {
			if s.over() {
				n++
			}
		}
		return n
	}
	deadline := time.After(time.Until(since.Add(limit)))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for waiting := true; waiting && ended() < want; {
		select {
		case <-deadline:
			waiting = false
		case <-tick.C:
		}
	}
	for _, s := range streams {
		if !s.over() {
			continue
		}
		at, err := s.end()
		if after = append(after, at.Sub(since).Round(time.Millisecond)); !aborted(err) {
			t.Errorf("a %s stream to a gateway that is gone ends with %v, want a reset", what, endOf(err))
		}
	}
	if len(after) != want {
		t.Errorf("%d %s streams were cut within %v, want %d", len(after), what, limit, want)
	}
	return after
}

// waiting is a connection that nothing is sent on, by either end.
type waiting struct {
	ended chan struct{}
	at    time.Time
	err   error
}

func startWaiting(t *testing.T, conn *net.TCPConn) *waiting {
	t.Helper()
	s := &waiting{ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		_, s.err = conn.Read(make([]byte, 1))
		s.at = time.Now()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-s.ended
	})
	return s
}

func (s *waiting) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// end is how it ended.
func (s *waiting) end() (time.Time, error) { return s.at, s.err }

// early are requests that begin before anybody can know that two of three gateways are gone.
type early struct {
	running sync.WaitGroup
	mu      sync.Mutex
	told    []string
}

func startEarly(way *route) *early {
	const requests = 6
	e := &early{}
	for i := range requests {
		e.running.Go(func() {
			began := time.Now()
			err := way.fetch(fmt.Sprint("/early/", i))
			e.mu.Lock()
			defer e.mu.Unlock()
			e.told = append(e.told, fmt.Sprintf("%v (%v)", time.Since(began).Round(time.Millisecond), err))
		})
	}
	return e
}

// report tells what became of them, which nothing promises.
func (e *early) report(t *testing.T) {
	t.Helper()
	e.running.Wait()
	t.Logf("measured: requests that began before the verdict took %v", e.told)
}
