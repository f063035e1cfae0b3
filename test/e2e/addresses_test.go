package e2e

import (
	"testing"
	"time"

	"github.com/linkspan/linkspan/test/rig"
)

// connectTimeout is what the egress gives one address by default.
const connectTimeout = 3 * time.Second

// playDeadAddresses gives the Link four addresses, of which one works. Two others answer probes, so that the verdict is
// wrong: one refuses connections, the other swallows them. The last is a black hole, and known to be.
func playDeadAddresses(t *testing.T, w *world) {
	in := w.ingress(t, ingressOne)
	out := w.egress(t, egressOne)
	refuses, swallows, hole := w.host(ingressTwo), w.host(ingressThree), "192.0.2.77"
	for _, host := range []string{refuses, swallows} {
		probed, err := rig.NewGateway(joinPort(host, adminPort), "ready")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = probed.Close() })
	}
	// Probes once a minute leave the verdicts as they are.
	w.linkProbed(t, "60s", in.host, refuses, swallows, hole)
	w.controller(t, nil)
	w.export(t, web)
	way := w.through(t, web)
	way.expectOpen(t, out.host)
	w.expectAlive(t, in.host, refuses, swallows)
	restore, err := rig.Silence(swallows)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := restore(); err != nil {
			t.Error(err)
		}
	})

	requests := startLoad(t, way.fetch)
	requests.await(t, 2*loadWorkers)
	early := requests.slowestSoFar()
	requests.await(t, 4*stepRequests)
	requests.expectNoFailure(t)
	if slowest := requests.slowest(); slowest > connectTimeout+time.Second {
		t.Errorf("the slowest request took %v, want at most a connect timeout and a second", slowest)
	}
	// Those of the beginning, which cannot know, and one every few seconds that finds out whether an address is back.
	slow := requests.slowerThan(time.Second)
	if slow > 2*loadWorkers {
		t.Errorf("%d requests took longer than a second, want at most %d", slow, 2*loadWorkers)
	}
	t.Logf("measured: of the first %d requests the slowest took %v; %d of all took longer than a second", 2*loadWorkers, early, slow)
}
