package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/app/manifests"
	"github.com/linkspan/linkspan/test/app/talk"
	"github.com/linkspan/linkspan/test/nodes"
)

// "My services speak more than HTTP" (section 4.5, MODE-*). What one of them does has its own sentence.
func TestMyServicesSpeakMoreThanHTTP(t *testing.T) {
	w := theWorld(t)
	w.install(t, installation{})
	w.talkers(t)
	t.Run("UDP goes pod to pod, and I am told why the gateway cannot carry it", w.speaksUDP)
	t.Run("My server speaks first, and nobody waits for the client", w.speaksFirst)
	t.Run("I move 100 MB in both directions, and every byte arrives", w.moves)
}

func (w *world) speaksUDP(t *testing.T) {
	const scenario, reason = "Other protocols", "ProtocolUnsupported"
	w.exportAs(t, w.east(), throughGateway, "udp-svc")
	w.until(t, "an event says why the Service is refused", func(ctx context.Context) error {
		return says(w.west().Kubectl(ctx, "get", "events", "--all-namespaces", "--field-selector=reason="+reason))("udp-svc", "remote-discovery")
	})
	w.until(t, "the Link says why the Service is refused", func(ctx context.Context) error {
		return says(w.west().Kubectl(ctx, "get", "link", "east", "--namespace="+homeNamespace, "--output=yaml"))(reason, "ServicesRefused")
	})
	if left, err := w.madeOf(t.Context(), "udp-svc"); err != nil || left != "" {
		t.Errorf("of what is refused there is %q: %v", left, err)
	}

	w.exportAs(t, w.east(), podToPod, "udp-svc")
	w.until(t, "the mirror leads to pods of east", func(ctx context.Context) error { return w.leadsTo(ctx, w.east(), "udp-svc-east") })
	var got talk.PacketResult
	if err := w.app(t.Context(), &got, "echo-udp", "call", "--address=udp-svc-east:9000", "--count=40"); err != nil {
		t.Fatalf("%v; %+v", err, got)
	}
	for by := range got.Pods {
		if !strings.HasPrefix(by, "east/talk-") {
			t.Errorf("%s answered", by)
		}
	}
	const pods = 2
	if got.Answered != got.Sent || len(got.Pods) != pods {
		t.Errorf("UDP pod to pod: %+v, want answers to all, of both pods", got)
	}
	w.measured(scenario, "UDP pod to pod", fmt.Sprintf("%d of %d packets answered, by %d pods", got.Answered, got.Sent, len(got.Pods)))
}

func (w *world) speaksFirst(t *testing.T) {
	w.exportAs(t, w.east(), throughGateway, "greets-svc")
	w.until(t, "the mirror leads to the egress", func(ctx context.Context) error { return w.leadsTo(ctx, w.west(), "greets-svc-east") })
	const lines = 10
	var got talk.GreetingResult
	if err := w.app(t.Context(), &got, "greets-first", "call", "--address=greets-svc-east:9001", fmt.Sprintf("--lines=%d", lines)); err != nil {
		t.Fatalf("%v; %+v", err, got)
	}
	if got.Echoed != lines || !strings.HasPrefix(got.By, "east/talk-") {
		t.Errorf("got %+v, want %d lines back from a pod of east", got, lines)
	}
	w.measured("Other protocols", "a server that speaks first, through the gateway", fmt.Sprintf("its greeting came after %.1f ms", got.Banner))
}

// moves begins with a call to a pod of east by its address: that is what the network and the application allow.
func (w *world) moves(t *testing.T) {
	beyondCore(t)
	pods, err := podsOf(t.Context(), w.east(), manifests.Namespace, client.MatchingLabels{"app": "talk"})
	if err != nil || len(pods) == 0 {
		t.Fatalf("no pod of talk: %v", err)
	}
	w.move(t, "to the pod's address", "http://"+pods[0].Status.PodIP+":8080", false)
	w.exportAs(t, w.east(), podToPod, "blob-svc")
	w.until(t, "the mirror leads to pods of east", func(ctx context.Context) error { return w.leadsTo(ctx, w.east(), "blob-svc-east") })
	w.move(t, "pod to pod", "http://blob-svc-east:8080", false)
	w.exportAs(t, w.east(), throughGateway, "blob-svc")
	w.until(t, "the mirror leads to the egress", func(ctx context.Context) error { return w.leadsTo(ctx, w.west(), "blob-svc-east") })
	w.move(t, "through the gateway", "http://blob-svc-east:8080", true)
}

// move downloads and uploads 100 MB. The client compares what arrived with what was to arrive, and the egress knows whether
// it went by its way.
func (w *world) move(t *testing.T, way, url string, byEgress bool) {
	t.Helper()
	before := w.carried(t)
	const size = 100_000_000
	for _, direction := range []struct {
		name string
		args []string
	}{{"down", nil}, {"up", []string{"--upload"}}} {
		var got talk.TransferResult
		args := slices.Concat([]string{"blob", "call", "--url=" + url, fmt.Sprintf("--bytes=%d", size), "--timeout=1m"}, direction.args)
		if err := w.app(t.Context(), &got, args...); err != nil {
			t.Errorf("%s, %s: %v", way, direction.name, err)
			continue
		}
		if got.Bytes != size || len(got.SHA256) == 0 || !strings.HasPrefix(got.By, "east/talk-") {
			t.Errorf("%s, %s: %+v", way, direction.name, got)
		}
		w.measured("100 MB between clusters", way+", "+direction.name, fmt.Sprintf("%4.0f MB/s", got.Rate))
	}
	if carried := w.carried(t) - before; (carried >= 2*size) != byEgress {
		t.Errorf("%s: the egress carried %.0f bytes", way, carried)
	}
}

// carried is how many bytes west's egress has carried, in both directions.
func (w *world) carried(t *testing.T) float64 {
	t.Helper()
	bytes, err := sum(t.Context(), w.west(), egress, "linkspan_gateway_bytes_total")
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// talkers starts servers of other protocols in east, and a client in west. Nothing is exported.
func (w *world) talkers(t *testing.T) {
	t.Helper()
	w.each(t, func(ctx context.Context, c *nodes.Cluster) error {
		text := map[string]string{"west": parts(manifests.West(), manifests.Namespace, "client"), "east": manifests.Talk()}[c.Name()]
		if err := c.Apply(ctx, text); err != nil {
			return err
		}
		return within(ctx, patience, func(ctx context.Context) error { return whole(ctx, c, manifests.Namespace) })
	})
}

// parts are those objects of a manifest that have one of the names.
func parts(manifest string, names ...string) string {
	const separator = "\n---\n"
	var picked []string
	for text := range strings.SplitSeq(manifest, separator) {
		if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(text, "\nmetadata:\n  name: "+name+"\n") }) {
			picked = append(picked, text)
		}
	}
	return strings.Join(picked, separator)
}

// app runs a command of the sample application in the client's pod of west, and reads what it prints.
func (w *world) app(ctx context.Context, into any, args ...string) error {
	out, err := w.call(ctx, w.west(), args...)
	if strings.TrimSpace(out) == "" {
		return err
	}
	return errors.Join(err, json.Unmarshal([]byte(out), into))
}

// call runs a command of the sample application in the client's pod of a cluster.
func (w *world) call(ctx context.Context, from *nodes.Cluster, args ...string) (string, error) {
	return from.Kubectl(ctx, slices.Concat([]string{"exec", "--namespace=" + manifests.Namespace, "deploy/client", "--", "/app"}, args)...)
}

// exportAs says how other clusters reach Services of the sample application.
func (w *world) exportAs(t *testing.T, in *nodes.Cluster, as string, services ...string) {
	t.Helper()
	args := slices.Concat([]string{"label", "service", "--namespace=" + manifests.Namespace, "--overwrite"}, services, []string{exportLabel + "=" + as})
	if _, err := in.Kubectl(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
}

// leadsTo is an error unless all endpoints of a mirror in west are pods of a cluster, and there is one: those of the egress
// are west's own.
func (w *world) leadsTo(ctx context.Context, pods *nodes.Cluster, mirror string) error {
	var slices discoveryv1.EndpointSliceList
	if err := w.west().Client().List(ctx, &slices, client.InNamespace(manifests.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: mirror}); err != nil {
		return fmt.Errorf("list the slices of %s: %w", mirror, err)
	}
	found := 0
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready == nil || !*endpoint.Conditions.Ready {
				return fmt.Errorf("%s of %s is not ready", endpoint.Addresses, mirror)
			}
			if err := isPod(pods, endpoint.Addresses[0]); err != nil {
				return fmt.Errorf("%s: %w", mirror, err)
			}
			found++
		}
	}
	if found == 0 {
		return fmt.Errorf("%s has no endpoints", mirror)
	}
	return nil
}

// madeOf are the names of everything in west that could have been made of a Service of east.
func (w *world) madeOf(ctx context.Context, service string) (string, error) {
	out, err := w.west().Kubectl(ctx, "get", "service,endpointslice,endpoints", "--namespace="+manifests.Namespace, "--output=name")
	if err != nil {
		return "", err
	}
	var found []string
	for name := range strings.Lines(out) {
		if strings.Contains(name, service) {
			found = append(found, strings.TrimSpace(name))
		}
	}
	return strings.Join(found, ", "), nil
}

// says looks for words in what a command printed.
func says(out string, err error) func(words ...string) error {
	return func(words ...string) error {
		if err != nil {
			return err
		}
		for _, word := range words {
			if !strings.Contains(out, word) {
				return fmt.Errorf("it does not say %q:\n%s", word, out)
			}
		}
		return nil
	}
}

// isPod is an error unless an address is that of a pod of a cluster.
func isPod(c *nodes.Cluster, address string) error {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return fmt.Errorf("read the address %q: %w", address, err)
	}
	if !c.Plan().Pods().Contains(ip) {
		return fmt.Errorf("%s is no pod of %s", ip, c.Name())
	}
	return nil
}
