package scenarios

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/app/manifests"
	"github.com/linkspan/linkspan/test/app/traffic"
	"github.com/linkspan/linkspan/test/nodes"
)

// atOnce is how long a call may take to fail where it is known that it must. Who hangs instead waits for web's patience, two seconds.
// It is less than the second after which Linux asks again.
const atOnce = 900 * time.Millisecond

// halfAMinute of votes, at twenty a second.
const halfAMinute = 600

// "The backends scale to zero, calls fail at once, and work again when they are back" (MIR-11, section 4.3).
func TestMyBackendsScaleToZero(t *testing.T) {
	beyondCore(t)
	w := theWorld(t)
	w.install(t, installation{})
	e := w.election(t, throughGateway)
	for _, mode := range []struct{ label, name string }{{throughGateway, "through the gateway"}, {podToPod, "pod to pod"}} {
		if mode.label != throughGateway {
			e.export(t, mode.label)
			e.steady(t)
		}
		e.scaleToZero(t, "Backends scale to zero, "+mode.name)
	}
	e.expectWell(t, "Backends scale to zero", false)
}

// scaleToZero does it to emoji: what voting counts is in its memory.
func (e *election) scaleToZero(t *testing.T, scenario string) {
	t.Helper()
	scale := func(to int) {
		t.Helper()
		if _, err := e.east().Kubectl(t.Context(), "scale", "--namespace="+manifests.Namespace, "deployment/emoji", fmt.Sprintf("--replicas=%d", to)); err != nil {
			t.Fatal(err)
		}
	}
	e.during(t, event{scenario: scenario, name: "to zero", outage: true, do: func(t *testing.T) {
		t.Helper()
		scale(0)
		e.until(t, "no endpoint of the mirror is ready", func(ctx context.Context) error { return e.readyEndpoints(ctx, false) })
		e.until(t, "the pods are gone, which serve while they end", func(ctx context.Context) error {
			var pods corev1.PodList
			err := e.east().Client().List(ctx, &pods, client.InNamespace(manifests.Namespace), client.MatchingLabels{"app": "emoji"})
			if err == nil && len(pods.Items) > 0 {
				err = fmt.Errorf("there are %d", len(pods.Items))
			}
			return err
		})
	}})
	const some = 100
	down := e.during(t, event{scenario: scenario, name: "none", outage: true, do: func(t *testing.T) {
		t.Helper()
		e.failsAtOnce(t, scenario)
		e.votes(t, some)
	}})
	if down.Succeeded > 0 {
		t.Errorf("without backends %d votes succeed", down.Succeeded)
	}
	e.during(t, event{scenario: scenario, name: "and back", do: func(t *testing.T) {
		t.Helper()
		scale(2)
		e.until(t, "endpoints of the mirror are ready", func(ctx context.Context) error { return e.readyEndpoints(ctx, true) })
	}})
}

// failsAtOnce calls emoji from a pod that has not called it before. kube-proxy's refusals are ICMP messages, of which Linux
// sends one in a second to each address, after six at first; who is not told hangs as long as he likes. So the votes, twenty in
// a second, do not show what one caller sees.
func (e *election) failsAtOnce(t *testing.T, scenario string) {
	t.Helper()
	const calls = 5
	told := map[string]int{}
	for range calls {
		_, err := e.west().Kubectl(t.Context(), "exec", "--namespace="+manifests.Namespace, "deploy/client", "--",
			"/app", "fetch", "--timeout="+atOnce.String(), "http://emoji-svc-east:8080/emojis")
		switch {
		case err == nil:
			told["an answer"]++
		case strings.Contains(err.Error(), "refused:"), strings.Contains(err.Error(), "reset:"):
			told["at once"]++
		default:
			told[err.Error()]++
		}
	}
	if told["at once"] != calls {
		t.Errorf("%s: calls with nowhere to go should fail within %s: %v", scenario, atOnce, told)
	}
}

// readyEndpoints is an error unless some endpoints of emoji's mirror are ready, or none.
func (e *election) readyEndpoints(ctx context.Context, want bool) error {
	var found discoveryv1.EndpointSliceList
	if err := e.west().Client().List(ctx, &found, client.InNamespace(manifests.Namespace),
		client.MatchingLabels{discoveryv1.LabelServiceName: "emoji-svc-east"}); err != nil {
		return fmt.Errorf("list the mirror's slices: %w", err)
	}
	ready := 0
	for _, slice := range found.Items {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
				ready++
			}
		}
	}
	if (ready > 0) != want {
		return fmt.Errorf("%d endpoints are ready", ready)
	}
	return nil
}

// "The other cluster's API server dies for half a minute, or freezes, and nobody notices" (section 4.3).
func TestTheOtherAPIServerIsAway(t *testing.T) {
	beyondCore(t)
	w := theWorld(t)
	w.install(t, twoOfEach())
	e := w.election(t, throughGateway)
	const scenario = "East's API server is away for 30 s"
	east := w.east()
	for _, outage := range []struct {
		name string
		away func() error
		back func(context.Context) error
		// nodes is that east may take its own nodes for lost, once it can write again: it has heard nothing of them for longer than
		// the 12 s that it has here.
		nodes bool
	}{
		{"killed", east.Kill, east.Start, false},
		{"frozen", east.Freeze, func(context.Context) error { return east.Resume() }, true},
	} {
		t.Cleanup(func() { _ = outage.back(withoutCancel(t)) }) // where the test failed meanwhile; else it has nothing to do
		missed := w.missedNodes(t)                              // now: who is frozen does not answer
		away := e.during(t, event{scenario: scenario, name: outage.name, do: func(t *testing.T) {
			t.Helper()
			if err := outage.away(); err != nil {
				t.Fatal(err)
			}
			e.votes(t, halfAMinute)
		}})
		back := e.during(t, event{scenario: scenario, name: outage.name + ", and back", do: func(t *testing.T) {
			t.Helper()
			if err := outage.back(t.Context()); err != nil {
				t.Fatal(err)
			}
			e.controls(t)
		}})
		if back.Failed > 0 && outage.nodes && added(missed, w.missedNodes(t)) {
			t.Logf("%s: %d votes failed; east took nodes of its own for lost meanwhile", back.Name, back.Failed)
			expectWellWithin(t, back, nodesAreBack)
			back.Failed = 0
		}
		for _, mark := range []traffic.MarkReport{away, back} {
			if mark.Failed > 0 {
				t.Errorf("%s: %d votes failed: %v", mark.Name, mark.Failed, mark.Failures)
			}
		}
	}
	e.expectWell(t, scenario, false)
}

// missedNodes tells how often east has taken nodes for lost, by events. Its controllers, which go on, do so after 12 s here, 50 s
// elsewhere; no pod there is ready then, and what is not ready there is not ready here.
func (w *world) missedNodes(t *testing.T) string {
	t.Helper()
	out, err := w.east().Kubectl(t.Context(), "get", "events", "--namespace=default", "--field-selector=reason=NodeNotReady",
		"--no-headers", "--output=custom-columns=:metadata.name,:count")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// added says whether there are events that were not there before, or that have come again. Old ones expire meanwhile.
func added(before, now string) bool {
	times := map[string]string{}
	for line := range strings.Lines(before) {
		name, count, _ := strings.Cut(strings.TrimSpace(line), " ")
		times[name] = strings.TrimSpace(count)
	}
	for line := range strings.Lines(now) {
		name, count, _ := strings.Cut(strings.TrimSpace(line), " ")
		if known, found := times[name]; name != "" && (!found || known != strings.TrimSpace(count)) {
			return true
		}
	}
	return false
}

func TestOnlyEventsThatAreAddedCount(t *testing.T) {
	const before = "east-1.a   1\neast-2.b   2\n"
	for now, want := range map[string]bool{
		before:                         false,
		"east-2.b   2\n":               false,
		"":                             false,
		"east-2.b   3\n":               true,
		before + "east-1.c   <none>\n": true,
		"east-1.a  1\neast-2.b  2\n":   false, // a longer name widens the column
	} {
		if got := added(before, now); got != want {
			t.Errorf("added: %t, want %t, to\n%s: \n%s", got, want, before, now)
		}
	}
}

// "The other cluster is cut off: calls fail at once rather than hang, and return by themselves" (MIR-11, section 4.3).
// There is no third cluster to go to.
func TestTheOtherClusterIsCutOff(t *testing.T) {
	beyondCore(t)
	w := theWorld(t)
	w.install(t, twoOfEach())
	e := w.election(t, throughGateway)
	mend := func(context.Context) error { return w.east().Mend() }
	e.suffer(t, outage{scenario: "East is cut off, through the gateway", fast: true, away: w.east().Cut, back: mend, well: wayIsBack})
	e.export(t, podToPod)
	e.steady(t)
	// Addresses of pods are kept, as they may answer although the API server does not. So here a vote waits for web's patience.
	e.suffer(t, outage{scenario: "East is cut off, pod to pod", away: w.east().Cut, back: mend, well: wayIsBack})
	e.expectWell(t, "East is cut off", false)
}

// "The other cluster loses power, and gets it back" (section 4.3). What voting had in its memory is gone with it.
func TestTheOtherClusterLosesPower(t *testing.T) {
	beyondCore(t)
	w := theWorld(t)
	w.install(t, twoOfEach())
	e := w.election(t, throughGateway)
	const scenario = "East loses power, through the gateway"
	e.suffer(t, outage{scenario: scenario, fast: true, away: w.east().PowerOff, back: w.east().PowerOn, well: powerIsBack})
	e.expectWell(t, scenario, true)
}

// outage is that all of east is away for a time.
type outage struct {
	scenario string
	// fast is that calls fail at once while it is.
	fast bool
	away func() error
	back func(context.Context) error
	// well is the limit until calls succeed again.
	well time.Duration
}

// suffer takes east away and gives it back. It notes what is seen until the Link says so, then, and on the way back.
func (e *election) suffer(t *testing.T, o outage) {
	t.Helper()
	const some = 100
	isAway := true
	t.Cleanup(func() {
		if isAway { // the test failed meanwhile
			if err := o.back(withoutCancel(t)); err != nil {
				t.Error(err)
			}
		}
	})
	e.during(t, event{scenario: o.scenario, name: "away, until the Link says so", outage: true, do: func(t *testing.T) {
		t.Helper()
		began := time.Now()
		if err := o.away(); err != nil {
			t.Fatal(err)
		}
		e.linkSays(t, v1alpha3.ConditionGatewayReady, false)
		if took := time.Since(began); took > linkIsDead {
			t.Errorf("%s: the Link says so after %.1f s, at most %s may pass", o.scenario, took.Seconds(), linkIsDead)
		}
		e.votes(t, some)
	}})
	down := e.during(t, event{scenario: o.scenario, name: "away", outage: true, do: func(t *testing.T) {
		t.Helper()
		if o.fast {
			e.failsAtOnce(t, o.scenario)
		}
		e.votes(t, some)
	}})
	if down.Succeeded > 0 {
		t.Errorf("with nowhere to go %d votes succeed", down.Succeeded)
	}
	back := e.during(t, event{scenario: o.scenario, name: "and back", do: func(t *testing.T) {
		t.Helper()
		if err := o.back(t.Context()); err != nil {
			t.Fatal(err)
		}
		isAway = false
		e.linkSays(t, v1alpha3.ConditionReady, true)
	}})
	expectWellWithin(t, back, o.well)
	e.controls(t)
}

// linkSays waits until a condition of the Link is true, or is not.
func (w *world) linkSays(t *testing.T, condition string, want bool) {
	t.Helper()
	w.until(t, fmt.Sprintf("the Link is %s: %t", condition, want), func(ctx context.Context) error {
		var l v1alpha3.Link
		if err := w.west().Client().Get(ctx, client.ObjectKey{Namespace: homeNamespace, Name: "east"}, &l); err != nil {
			return fmt.Errorf("read the Link: %w", err)
		}
		for _, c := range l.Status.Conditions {
			if c.Type == condition && (c.Status == "True") == want {
				return nil
			}
		}
		return fmt.Errorf("it says %+v", l.Status.Conditions)
	})
}

// "A node loses power, or its cable is pulled, and traffic goes through the other one" (HA-*, section 4.3).
func TestMyNodeIsGone(t *testing.T) {
	beyondCore(t)
	w := theWorld(t)
	w.install(t, twoOfEach())
	e := w.election(t, throughGateway)
	const scenario = "A node of east is gone, through the gateway"
	for i, fault := range []struct {
		name       string
		away, back func(*nodes.Node, context.Context) error
	}{
		{"power off", func(n *nodes.Node, _ context.Context) error { return n.PowerOff() }, (*nodes.Node).Start},
		{"unplugged", func(n *nodes.Node, _ context.Context) error { return n.Unplug() }, func(n *nodes.Node, _ context.Context) error { return n.Plug() }},
	} {
		node := w.east().Nodes()[i] // the first has the load balancer's address, until it is gone
		t.Cleanup(func() { _ = fault.back(node, withoutCancel(t)) })
		gone := e.during(t, event{scenario: scenario, name: node.Name() + " " + fault.name, do: func(t *testing.T) {
			t.Helper()
			if err := fault.away(node, t.Context()); err != nil {
				t.Fatal(err)
			}
			w.nodeIs(t, node, corev1.ConditionUnknown)
		}})
		expectWellWithin(t, gone, nodeIsLost)
		back := e.during(t, event{scenario: scenario, name: node.Name() + " is back", do: func(t *testing.T) {
			t.Helper()
			if err := fault.back(node, t.Context()); err != nil {
				t.Fatal(err)
			}
			w.nodeIs(t, node, corev1.ConditionTrue)
			w.until(t, "its pods are back", func(ctx context.Context) error {
				return errors.Join(whole(ctx, w.east(), homeNamespace), whole(ctx, w.east(), manifests.Namespace))
			})
		}})
		expectNobodyRefused(t, back)
	}
	e.controls(t)
	e.expectWell(t, scenario, false)
}

// nodeIs waits for what the API says of a node of east.
func (w *world) nodeIs(t *testing.T, node *nodes.Node, want corev1.ConditionStatus) {
	t.Helper()
	w.until(t, fmt.Sprintf("node %s is ready: %s", node.Name(), want), func(ctx context.Context) error {
		var n corev1.Node
		if err := w.east().Client().Get(ctx, types.NamespacedName{Name: node.Name()}, &n); err != nil {
			return fmt.Errorf("read the node: %w", err)
		}
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == want {
				return nil
			}
		}
		return errors.New("it is not")
	})
}
