package scenarios

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/app/manifests"
	"github.com/linkspan/linkspan/test/app/talk"
	"github.com/linkspan/linkspan/test/nodes"
)

const (
	// streamSeconds is how long a gRPC stream is held, far less than a gateway's pod waits for it here.
	streamSeconds = 20
	drainSeconds  = 40
	// worstGap is how long no message may come back, in milliseconds. They are sent ten times in a second.
	worstGap = 1000
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

	w.expectStream(t, "undisturbed", w.stream(t))
	for _, way := range []struct {
		c         *nodes.Cluster
		component string
	}{{w.east(), ingress}, {w.west(), egress}} {
		stream := w.stream(t)
		carrier := w.carrier(t, way.c, way.component)
		if _, err := way.c.Kubectl(t.Context(), "delete", "pod", "--namespace="+homeNamespace, carrier.Name, "--wait=false"); err != nil {
			t.Fatal(err)
		}
		w.expectCalls(t, stream)
		w.expectStream(t, "while its pod of the "+way.component+" is deleted", stream)
		ended := time.Now()
		w.until(t, "the pod ends when its last stream has", func(ctx context.Context) error { return isGone(ctx, way.c, carrier) })
		w.measured("gRPC stream through the gateway", "the pod of the "+way.component+" ended", fmt.Sprintf("%.1f s after the stream", time.Since(ended).Seconds()))
		w.until(t, "there is another one", func(ctx context.Context) error { return whole(ctx, way.c, homeNamespace) })
	}
}

// heldStream is one that is being held.
type heldStream struct {
	over   chan struct{}
	result talk.StreamResult
	err    error
}

// stream begins one, from a pod of west.
func (w *world) stream(t *testing.T) *heldStream {
	t.Helper()
	s := &heldStream{over: make(chan struct{})}
	go func() {
		defer close(s.over)
		s.err = w.app(t.Context(), &s.result, "grpc", "call", "--url=http://grpc-svc-east:9002", fmt.Sprintf("--for=%ds", streamSeconds))
	}()
	t.Cleanup(func() { <-s.over })
	return s
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

// expectCalls makes calls while a stream is held: all of them must get through, by whichever pod is left.
func (w *world) expectCalls(t *testing.T, stream *heldStream) {
	t.Helper()
	const few = 5
	for n := range few {
		var got talk.StreamResult
		if err := w.app(t.Context(), &got, "grpc", "call", "--url=http://grpc-svc-east:9002", "--for=200ms"); err != nil {
			t.Errorf("call %d while the pod drains: %v", n, err)
		}
	}
	if stream.isOver() {
		t.Error("the stream was over before the other calls were: nothing was shown")
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
	if r.Status != "0" || r.Received != r.Sent || r.Longest > worstGap || r.Seconds < streamSeconds-1 {
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
