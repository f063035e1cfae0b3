package scenarios

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/linkspan/linkspan/test/nodes"
)

// twoOfEach is values-ha.yaml on clusters of two nodes.
func twoOfEach() installation {
	return installation{Flags: []string{
		"-f", "charts/linkspan/values-ha.yaml", "--set", "controller.replicas=2,gateway.ingress.replicas=2,gateway.egress.replicas=2",
	}}
}

// death is how a pod of ours ends, and what of it a user may notice.
type death struct {
	name      string
	in        func(*world) *nodes.Cluster
	component string
	how       end
	// core is that it is one of those that every change is tested with.
	core bool
	// failures are those that must be allowed: what was on its way through a process that is killed is lost.
	failures int
	// acts is the limit until the next leader does, for the controllers.
	acts time.Duration
}

const (
	// givenBack is for a leader that ends in good order, and gives back its lease.
	givenBack = 10 * time.Second
	// runOut is for one that vanishes, or that is deleted by force, whose token ends with the pod, so that it may be too late to
	// give the lease back: the 15 s of that have to run out.
	runOut = 25 * time.Second
)

// untilMissed is how many votes may go to a process of the egress that is killed, until it is missed: 3 to 10 did.
const untilMissed = 40

// cutWithDrain is how many votes may be on connections that are kept for longer than a gateway that ends waits for them,
// 20 s, and that are cut then. It is seldom more than one.
const cutWithDrain = 5

// deaths are in the order of what they may cost.
func deaths() []death {
	west, east := (*world).west, (*world).east
	return []death{
		{"the leader is deleted", west, controller, gracefully(), false, 0, givenBack},
		{"the leader is deleted by force", west, controller, byForce(), false, 0, runOut},
		{"the leader's process is killed", west, controller, bySignal(), true, 0, runOut},
		{"a pod of the ingress is deleted", east, ingress, gracefully(), true, 0, 0},
		{"a pod of the ingress is deleted by force", east, ingress, byForce(), false, onTheirWay, 0},
		{"a process of the ingress is killed", east, ingress, bySignal(), true, 2 * onTheirWay, 0},
		{"a pod of the egress is deleted", west, egress, gracefully(), true, 0, 0},
		{"a pod of the egress is deleted by force", west, egress, byForce(), false, onTheirWay, 0},
		{"a process of the egress is killed", west, egress, bySignal(), false, untilMissed, 0},
	}
}

// "I kill a pod of each kind, and votes go on" (HA-*, section 4.3).
func TestIKillAPodOfEachKind(t *testing.T) {
	w := theWorld(t)
	w.install(t, twoOfEach())
	e := w.election(t, throughGateway)
	const scenario = "Two of each, through the gateway"
	for _, d := range deaths() {
		if onlyCore() && !d.core {
			continue
		}
		e.die(t, scenario, d)
	}
	e.expectWell(t, scenario, false)
}

// "I have one of each only, and one dies" (section 4.3): there is nobody else, so votes fail until it is replaced.
func TestMyOnlyPodDies(t *testing.T) {
	beyondCore(t)
	w := theWorld(t)
	w.install(t, installation{})
	e := w.election(t, throughGateway)
	const scenario = "One of each, through the gateway"
	for _, d := range deaths() {
		const (
			untilReplaced = 400 // 20 s
			startOfAPod   = 10 * time.Second
		)
		if d.failures > 0 {
			d.failures = untilReplaced
		}
		d.acts += startOfAPod
		e.die(t, scenario, d)
	}
	e.expectWell(t, scenario, false)
}

// die ends a pod and holds what became of votes against what may.
func (e *election) die(t *testing.T, scenario string, d death) {
	t.Helper()
	cluster := d.in(e.world)
	victim := e.one(t, cluster, d.component)
	mark := e.during(t, event{scenario: scenario, name: d.name, do: func(t *testing.T) {
		t.Helper()
		if d.component == controller {
			e.leaderDies(t, scenario, d, victim)
		} else {
			d.how.kill(e.world, t, cluster, victim)
		}
		d.how.replaced(e.world, t, cluster, victim)
	}})
	failed := mark.Failed
	if d.failures == 0 {
		// What is on a connection that outlives the drain is cut with it; nobody is refused.
		failed = mark.FailedFresh
	}
	if failed > d.failures || mark.Failed > max(d.failures, cutWithDrain) {
		t.Errorf("%s: %d votes failed, %d of them on new connections; at most %d may: %v", d.name, mark.Failed, mark.FailedFresh, d.failures, mark.Failures)
	}
}

// leaderDies ends the leader, and measures how long it takes until the next one acts (HA-1, LESSON-51).
func (e *election) leaderDies(t *testing.T, scenario string, d death, victim corev1.Pod) {
	t.Helper()
	before, err := leaderOf(t.Context(), d.in(e.world))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	d.how.kill(e.world, t, d.in(e.world), victim)
	took := e.nextActs(t, before).Sub(began)
	e.measured(scenario, d.name+", the next one acts", fmt.Sprintf("%.1f s after it", took.Seconds()))
	if took > d.acts {
		t.Errorf("%s: the next one acts after %.1f s, at most %s may pass", d.name, took.Seconds(), d.acts)
	}
}
