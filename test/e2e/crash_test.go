package e2e

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

const (
	// cutPatience is for noticing that the process at the other end is gone, whose kernel says so.
	cutPatience = 5 * time.Second
	// atOnce is how long a client of a dead gateway may wait.
	atOnce = 250 * time.Millisecond
	// turnedAway is how many connections to a dead gateway are tried.
	turnedAway = 20
)

func playCrash(t *testing.T, w *world) {
	in := w.ingress(t, ingressOne)
	out := w.egress(t, egressOne, "--lanes=2") // the streams of playKill take both ways
	w.link(t, in.host)
	w.controller(t, w.pki.mount(t, inWest, controllerAccount))
	app := w.export(t, web)
	way := w.through(t, web)
	way.expectOpen(t, out.host)

	t.Run("an ingress that is killed", func(t *testing.T) { playKill(t, app, way, in, "ingress") })
	t.Run("a gateway that is dead", func(t *testing.T) { playDeadGateway(t, w, out, way) })
	t.Run("a gateway that is back", func(t *testing.T) {
		in.start(t)
		since := time.Now()
		way.expectReady(t, out.host)
		expectSoon(t, func() error { return way.fetch("/back") })
		t.Logf("measured: answered %v after the ingress's start", time.Since(since).Round(time.Millisecond))
	})
	t.Run("an egress that is killed", func(t *testing.T) { playKill(t, app, way, out, "egress") })
}

// playKill kills one half in the middle of streams of every kind. Both ends must see that something is missing.
func playKill(t *testing.T, app *application, way *route, victim *half, who string) {
	address := way.any(t, talkPort)
	download := begin(t, address, verbFeed, who+" download")
	quiet := begin(t, address, verbSink, who+" quiet")
	upload := begin(t, address, verbSink, who+" upload")
	busy := startBeating(t, address, who+" busy")
	if _, err := io.ReadFull(download, make([]byte, 256<<10)); err != nil {
		t.Fatal(err)
	}
	if _, err := upload.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{who + " quiet", who + " upload"} {
		app.expectBegun(t, name)
	}

	since := time.Now()
	victim.kill(t)
	for name, conn := range map[string]*net.TCPConn{"download": download, "quiet": quiet, "upload": upload} {
		expectReadCut(t, name, conn)
	}
	took := busy.expectCut(t, since, cutPatience)
	for _, name := range []string{who + " quiet", who + " upload", who + " busy"} {
		app.expectCut(t, name)
	}
	t.Logf("measured: the client of a busy stream saw it cut after %v", took)
}

// expectReadCut reads to the end of a connection, which must be a reset.
func expectReadCut(t *testing.T, name string, conn *net.TCPConn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(cutPatience)); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, conn)
	if !aborted(err) {
		t.Errorf("the client sees the end of the %s stream after %d more bytes as %v, want a reset", name, n, endOf(err))
	}
}

// LESSON-22, MIR-11: nobody waits for a gateway that is known to be dead.
func playDeadGateway(t *testing.T, w *world, out *half, way *route) {
	since := time.Now()
	rig.ExpectCondition(t, w.west, w.linkKey(), v1alpha3.ConditionGatewayReady, metav1.ConditionFalse, v1alpha3.ReasonGatewayDead)
	verdict := time.Since(since)
	way.expectReady(t) // kube-proxy refuses then
	address := way.any(t, httpPort)
	// The egress may hear of the verdict a moment later than kube-proxy, and has tried in vain until then.
	for tries := 0; out.reasonOf(t, address) != "gateway_dead"; tries++ {
		if tries == 10 {
			t.Fatal("the egress does not turn connections away for the verdict")
		}
	}
	slowest := turnAway(t, out, address)
	for range 2 { // a machine that is busy with something else is not what is measured
		if slowest > atOnce {
			slowest = turnAway(t, out, address)
		}
	}
	if slowest > atOnce {
		t.Errorf("the slowest of %d connections was turned away after %v, want at most %v", turnedAway, slowest, atOnce)
	}
	if err := way.fetch("/dead"); !errors.Is(err, errNoEndpoint) {
		t.Errorf("through the mirror: %v, want that it has no ready endpoint", err)
	}
	t.Logf("measured: the verdict came after %v, then the slowest of %d connections was turned away after %v",
		verdict.Round(time.Millisecond), turnedAway, slowest.Round(100*time.Microsecond))
}

// reasonOf connects, wants to be turned away, and says what the egress's access log gives as the reason.
func (h *half) reasonOf(t *testing.T, address string) string {
	t.Helper()
	began := time.Now()
	expectReset(t, address)
	return h.expectEntry(t, began, func(entry) bool { return true }).Reason
}

// turnAway connects again and again, and says how long the slowest attempt took.
func turnAway(t *testing.T, out *half, address string) (slowest time.Duration) {
	t.Helper()
	began := time.Now()
	for range turnedAway {
		slowest = max(slowest, expectReset(t, address))
	}
	expectSoon(t, func() error {
		return same("connections turned away for the verdict", turnedAway, out.count(t, began, func(e entry) bool {
			return e.Result == "refused" && e.Reason == "gateway_dead"
		}))
	})
	return slowest
}
