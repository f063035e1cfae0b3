package ingress

import (
	"testing"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// The application's failures are told apart, to the client by a code and to the operator by a reason.
func TestAnApplicationThatCannotBeReachedIsToldSo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, reason string
		prepare      func(*gateway)
	}{
		{"nobody listens", stream.ReasonConnectionRefused, func(g *gateway) { g.network.route(echoIP+":80", deadPort(g.T)) }},
		{"nobody answers", stream.ReasonTimeout, func(*gateway) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachWay(t, func(t *testing.T, w way) {
				g := startGateway(t, Options{ConnectTimeout: 100 * time.Millisecond}, c.prepare)
				took := measured(func() { w.expectRefused(t, g.openEcho(w, g.credentials(webClient)), codeUnreachable) })
				if took > patience/2 {
					t.Errorf("refused after %v", took)
				}
				line := g.expectEnd(1, stream.Failed, c.reason)
				if line.Connect != 0 || line.Error == "" {
					t.Errorf("the access log says %+v", line)
				}
				g.expectMetric(1, "linkspan_gateway_dial_errors_total", "reason", c.reason)
			})
		})
	}
}

func TestAHeadlessServiceThatIsDeadIsTriedThreeTimes(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{ConnectTimeout: 50 * time.Millisecond})
	g.exportPods([2]string{"10.0.0.1", "a"}, [2]string{"10.0.0.2", "b"}, [2]string{"10.0.0.3", "c"}, [2]string{"10.0.0.4", "d"}, [2]string{"10.0.0.5", "e"})
	w := ways()[1]
	w.expectRefused(t, g.open(w, g.credentials(webClient), podsName, 80, opaque), codeUnreachable)
	g.expectEnd(1, stream.Failed, stream.ReasonTimeout)
	if asked := g.network.asked(); len(asked) != 3 {
		t.Errorf("dialed %q, want three addresses", asked)
	}
	g.expectMetric(3, "linkspan_gateway_dial_errors_total", "reason", stream.ReasonTimeout)
}
