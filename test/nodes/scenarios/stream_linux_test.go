package scenarios

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/app/manifests"
	"github.com/linkspan/linkspan/test/app/talk"
	"github.com/linkspan/linkspan/test/nodes"
)

const (
	// streamSeconds is how long a gRPC stream is held at least, far less than a gateway's pod waits for it here.
	streamSeconds = 20
	drainSeconds  = 60
	// worstGap is how long no message may come back, in milliseconds. They are sent ten times in a second; builds, helm and eight
	// kubelets may be running beside them.
	worstGap = 3000
	// untilStopped is for a stream that is held until what it has to outlive has happened: stop ends it.
	untilStopped = 10 * time.Minute
)

// "I hold a gRPC stream through the gateway, and replace the pods that carry it: it goes on" (section 4.5, HA-*, UPG-*).
func TestMyStreamOutlivesThePodsThatCarryIt(t *testing.T) {
	beyondCore(t)
	w := theWorld(t)
	want := twoOfEach()
	want.Flags = append(want.Flags, "--set", fmt.Sprintf("gateway.ingress.drainTimeoutSeconds=%[1]d,gateway.egress.drainTimeoutSeconds=%[1]d", drainSeconds))
	w.install(t, want)
	w.talkers(t)
	w.exportAs(t, w.east(), throughGateway, "grpc-svc")
	w.until(t, "the mirror leads to the egress", func(ctx context.Context) error { return w.leadsTo(ctx, w.west(), "grpc-svc-east") })

	w.expectStream(t, "undisturbed", w.stream(t, streamSeconds*time.Second))
	for _, way := range []struct {
		c         *nodes.Cluster
		component string
	}{{w.east(), ingress}, {w.west(), egress}} {
		stream := w.stream(t, untilStopped)
		carrier := w.carrier(t, way.c, way.component)
		if _, err := way.c.Kubectl(t.Context(), "delete", "pod", "--namespace="+homeNamespace, carrier.Name, "--wait=false"); err != nil {
			t.Fatal(err)
		}
		w.expectCalls(t, stream)
		stream.stop(t)
		w.expectStream(t, "while its pod of the "+way.component+" is deleted", stream)
		ended := time.Now()
		w.until(t, "the pod ends when its last stream has", func(ctx context.Context) error { return isGone(ctx, way.c, carrier) })
		w.measured("gRPC stream through the gateway", "the pod of the "+way.component+" ended", fmt.Sprintf("%.1f s after the stream", time.Since(ended).Seconds()))
		w.until(t, "there is another one", func(ctx context.Context) error { return whole(ctx, way.c, homeNamespace) })
	}
}

// heldStream is one that is being held.
type heldStream struct {
	w     *world
	began time.Time
	// least is how long it has to last; stop sees to that where it is held untilStopped.
	least  time.Duration
	over   chan struct{}
	result talk.StreamResult
	err    error
}

// stream begins one, from a pod of west.
func (w *world) stream(t *testing.T, hold time.Duration) *heldStream {
	t.Helper()
	s := &heldStream{w: w, began: time.Now(), over: make(chan struct{})}
	if hold < untilStopped {
		s.least = hold - time.Second
	}
	go func() {
		defer close(s.over)
		s.err = w.app(t.Context(), &s.result, "grpc", "call", "--url=http://grpc-svc-east:9002", heldFor(hold))
	}()
	t.Cleanup(func() { <-s.over })
	return s
}

// heldFor is also what the client of such a stream is known by.
func heldFor(hold time.Duration) string { return fmt.Sprintf("--for=%s", hold) }

// stop has the client end a stream that is held untilStopped, in good order. One that is over by then has outlived nothing.
func (s *heldStream) stop(t *testing.T) {
	t.Helper()
	if s.isOver() {
		t.Errorf("the stream was over before what it was to outlive was: nothing was shown")
		return
	}
	pods, err := podsOf(t.Context(), s.w.west(), manifests.Namespace, client.MatchingLabels{"app": "client"})
	if err != nil || len(pods) != 1 {
		t.Fatalf("find the stream's client: %d pods, %v", len(pods), err)
	}
	if err := signalTo(pods[0], unix.SIGTERM, heldFor(untilStopped)); err != nil {
		t.Fatal(err)
	}
}

// isOver says so without waiting.
func (s *heldStream) isOver() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

// carrier waits until one pod of a component carries the stream, and gives that.
func (w *world) carrier(t *testing.T, c *nodes.Cluster, component string) (carrier corev1.Pod) {
	t.Helper()
	w.until(t, "a pod of the "+component+" carries the stream", func(ctx context.Context) error {
		pods, err := podsOf(ctx, c, homeNamespace, client.MatchingLabels{componentLabel: component})
		if err != nil {
			return err
		}
		for _, p := range pods {
			open, err := sumOf(ctx, c, p, "linkspan_gateway_open_streams")
			if err != nil {
				return err
			}
			if open > 0 {
				carrier = p
				return nil
			}
		}
		return errors.New("none has an open stream")
	})
	return carrier
}

// expectCalls makes calls while a stream is held, for as long as that has to be at least: all of them must get through, by
// whichever pod is left.
func (w *world) expectCalls(t *testing.T, stream *heldStream) {
	t.Helper()
	const few = 5
	for n := 0; n < few || time.Since(stream.began) < streamSeconds*time.Second; n++ {
		var got talk.StreamResult
		if err := w.app(t.Context(), &got, "grpc", "call", "--url=http://grpc-svc-east:9002", "--for=200ms"); err != nil {
			t.Errorf("call %d while the pod drains: %v", n, err)
		}
	}
}

// expectStream waits for the end of a stream. Every message of it must have come back, none of them late.
func (w *world) expectStream(t *testing.T, name string, s *heldStream) {
	t.Helper()
	<-s.over
	if s.err != nil {
		t.Errorf("stream %s: %v", name, s.err)
	}
	r := s.result
	if r.Status != "0" || r.Received != r.Sent || r.Longest > worstGap || r.Seconds < s.least.Seconds() {
		t.Errorf("stream %s: %+v", name, r)
	}
	w.measured("gRPC stream through the gateway", name, fmt.Sprintf("%d of %d messages in %.1f s, longest gap %.0f ms, round trip p50 %.1f ms",
		r.Received, r.Sent, r.Seconds, r.Longest, r.RoundTrip.P50))
}

// isGone is an error while a pod is there.
func isGone(ctx context.Context, c *nodes.Cluster, p corev1.Pod) error {
	var now corev1.Pod
	err := c.Client().Get(ctx, client.ObjectKeyFromObject(&p), &now)
	if err == nil && now.UID == p.UID {
		return fmt.Errorf("the pod %s is still there", p.Name)
	}
	return client.IgnoreNotFound(err)
}

// callers starts an application to call, and a client, in both clusters. Each is exported to the other through its gateway.
func (w *world) callers(t *testing.T) {
	t.Helper()
	text := parts(manifests.West(), manifests.Namespace, "client") + "\n---\n" + parts(manifests.East(), "emoji", "emoji-svc")
	w.each(t, func(ctx context.Context, c *nodes.Cluster) error {
		if err := c.Apply(ctx, manifests.In(c.Name(), text)); err != nil {
			return err
		}
		return within(ctx, patience, func(ctx context.Context) error { return whole(ctx, c, manifests.Namespace) })
	})
	for _, c := range w.Fleet.Clusters() {
		w.exportAs(t, c, throughGateway, "emoji-svc")
	}
	w.until(t, "both mirrors are there", func(ctx context.Context) error {
		_, west := w.west().Kubectl(ctx, "get", "service", "--namespace="+manifests.Namespace, "emoji-svc-east")
		_, east := w.east().Kubectl(ctx, "get", "service", "--namespace="+manifests.Namespace, "emoji-svc-west")
		return errors.Join(west, east)
	})
}
