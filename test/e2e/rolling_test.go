package e2e

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// drainDelay is what a half that is told to end goes on accepting for: less than the verdict takes, which is two
// probes, and more than it takes to follow the egress's endpoints.
const drainDelay = time.Second

// playRollingRestart restarts each half, one process after the other, under load.
func playRollingRestart(t *testing.T, w *world) {
	delay, timeout := "--drain-delay="+drainDelay.String(), "--drain-timeout=20s"
	// A gateway may go without a delay: who finds its port closed tries the other one.
	ins := []*half{w.ingress(t, ingressOne, delay, timeout), w.ingress(t, ingressTwo, "--drain-delay=0s", timeout)}
	// One of them has one lane to each gateway, and takes the other way for all that is more.
	outs := []*half{w.egress(t, egressOne, delay, timeout), w.egress(t, egressTwo, delay, timeout, "--lanes=1")}
	w.link(t, ins[0].host, ins[1].host)
	w.controller(t, w.pki.mount(t, inWest, controllerAccount))
	w.export(t, web)
	way := w.through(t, web)
	way.expectOpen(t, outs[0].host, outs[1].host)
	w.expectAlive(t, ins[0].host, ins[1].host)

	requests := startLoad(t, way.fetch)
	for _, in := range ins {
		playDrain(t, w, way, requests, in, func() { w.expectAlive(t, ins[0].host, ins[1].host) }, nil)
	}
	for _, out := range outs {
		playDrain(t, w, way, requests, out, func() { w.podReady(t, out); way.expectReady(t, outs[0].host, outs[1].host) }, w.podEnding)
	}
	requests.expectNoFailure(t)
	playLoss(t, way, ins[1])
}

// playLoss kills one of two gateways under load. Whoever was in the middle of something is cut, and nobody else.
func playLoss(t *testing.T, way *route, victim *half) {
	t.Helper()
	requests := startLoad(t, way.fetch)
	requests.await(t, stepRequests)
	victim.kill(t)
	requests.await(t, 2*stepRequests)
	requests.stop()
	for _, failure := range requests.failures {
		t.Logf("measured: when a gateway is killed, a request failed %v", failure)
	}
	if requests.failed > loadWorkers || requests.cut != requests.failed {
		t.Errorf("%d of %d requests failed, %d by a reset: want at most the %d that were under way, all by a reset",
			requests.failed, requests.done, requests.cut, loadWorkers)
	}
}

// playDrain ends one process while streams are open through it, and starts it again. listed waits until clients
// know of it again, and ending tells them that it is about to end.
func playDrain(t *testing.T, w *world, way *route, requests *load, h *half, listed func(), ending func(*testing.T, *half)) {
	t.Helper()
	// One after the other, they go round all pods of the egress, and each pod's round all gateways.
	var streams []*beating
	for i := range 8 {
		address, err := way.pick(talkPort)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, startBeating(t, address, fmt.Sprintf("%s %d", h.name, i)))
	}
	if t.Failed() {
		return
	}
	since := time.Now()
	if ending != nil {
		ending(t, h)
	}
	h.terminate(t)
	expectClosed(t, h, way)
	closed := time.Since(since)
	for _, s := range streams {
		s.expectAlive(t)
	}
	requests.await(t, stepRequests)
	for _, s := range streams {
		s.finish(t)
	}
	finished := time.Since(since)
	h.awaitEnd(t, endPatience)
	ended := time.Since(since)
	through := h.count(t, since.Add(-time.Minute), func(e entry) bool { return e.Result == "done" && e.Duration > drainDelay.Seconds() })
	if through == 0 {
		t.Errorf("no long stream went through %s", h.name)
	}
	if bad := h.count(t, since.Add(-time.Minute), func(e entry) bool { return e.Result != "done" }); bad > 0 {
		t.Errorf("%d streams of %s did not end well", bad, h.name)
	}
	if ending != nil {
		w.podGone(t, h)
	}
	h.start(t)
	h.awaitReady(t)
	listed()
	requests.await(t, stepRequests)
	t.Logf("measured: %s accepted no more after %v, %d long streams through it ended well after %v, the process after %v",
		h.name, closed.Round(time.Millisecond), through, finished.Round(time.Millisecond), ended.Round(time.Millisecond))
}

// expectClosed waits until a half that drains accepts no more.
func expectClosed(t *testing.T, h *half, way *route) {
	t.Helper()
	address := h.address()
	if h.files.account == egressAccount {
		address = way.to(t, httpPort, h.host)
	}
	expectSoon(t, func() error {
		conn, err := dial(address)
		if err == nil {
			_ = conn.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("%s: %w, want its port %s closed", h.name, endOf(err), address)
		}
		return nil
	})
}
