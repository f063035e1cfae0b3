package scenarios

import (
	"testing"
)

// onTheirWay is how many votes may be on their way at a time, or be sent to a place before everybody has heard that it is
// closed: twenty are sent in a second. Four were seen where the way itself changes, else seldom more than one.
const onTheirWay = 6

// bothWays has the ingress know Services that are exported pod to pod, too. Without it, a Service whose way changes is
// withdrawn from the gateway at once, before the other cluster has heard of it: what is on its way is cut.
const bothWays = `'--set-string=gateway.ingress.exportSelector=mirror.linkerd.io/exported in (true\,remote-discovery)'`

// "Every vote counts once, whichever way it goes" (section 4.2, MIR-12).
func TestEveryVoteCountsOnce(t *testing.T) {
	w := theWorld(t)
	w.install(t, installation{})
	w.countBothWays(t, "Every vote counts once", onTheirWay)
}

// "I change the way under traffic, and nobody notices" (MIR-12).
func TestIChangeTheWayAndNobodyNotices(t *testing.T) {
	beyondCore(t)
	w := theWorld(t)
	w.install(t, installation{Flags: []string{bothWays}})
	w.countBothWays(t, "The way changes, and the ingress knows both", 0)
}

// countBothWays changes the way, and back. So many votes may be cut by a change.
func (w *world) countBothWays(t *testing.T, scenario string, cut int) {
	t.Helper()
	e := w.election(t, throughGateway)
	const some = 200
	for _, phase := range []struct {
		name   string
		change func()
		cut    int
	}{
		{"through the gateway", func() {}, 0},
		{"changed to pod to pod", func() { e.export(t, podToPod) }, cut},
		{"pod to pod", func() {}, 0},
		{"changed back to the gateway", func() { e.export(t, throughGateway) }, cut},
	} {
		mark := e.during(t, event{scenario: scenario, name: phase.name, do: func(t *testing.T) {
			t.Helper()
			phase.change()
			e.votes(t, some)
		}})
		if mark.Failed > phase.cut {
			t.Errorf("%s: %d votes failed, at most %d may: %v", phase.name, mark.Failed, phase.cut, mark.Failures)
		}
	}
	e.expectWell(t, scenario, false)
}
