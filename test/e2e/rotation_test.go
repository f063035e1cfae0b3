package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/linkspan/linkspan/test/certs"
)

// stepRequests is how many requests are watched after each step of a scenario under load.
const stepRequests = 150

// playRotation replaces certificates as cert-manager and trust-manager would, and as the docs say (CERT-12).
func playRotation(t *testing.T, w *world) {
	in := w.ingress(t, ingressOne)
	out := w.egress(t, egressOne, "--lanes=4") // the load takes both ways
	w.link(t, in.host)
	w.controller(t, w.pki.mount(t, inWest, controllerAccount))
	w.export(t, web)
	way := w.through(t, web)
	way.expectOpen(t, out.host)

	requests := startLoad(t, way.fetch)
	first := startBeating(t, way.any(t, talkPort), "from the beginning")
	second := w.pki.make.Anchor("second root.linkerd.cluster.local")
	streams := []*beating{first}
	for _, step := range []struct {
		name   string
		change func()
		leaves bool
	}{
		{"leaf", func() {}, true},
		{"issuer", func() { w.pki.newIssuers(w.pki.anchors[0]) }, true},
		{"second anchor beside the first", func() { w.pki.anchors = append(w.pki.anchors, second) }, false},
		{"leaf under the second anchor", func() { w.pki.newIssuers(second) }, true},
	} {
		step.change()
		w.renew(t, requests, step.leaves)
		for _, s := range streams {
			s.expectAlive(t)
		}
		if t.Failed() {
			t.Fatalf("after a new %s", step.name)
		}
		streams = append(streams, startBeating(t, way.any(t, talkPort), "after a new "+step.name))
	}
	last := streams[len(streams)-1]

	w.pki.anchors = []*certs.Authority{second}
	since := time.Now()
	w.renew(t, requests, false)
	for _, s := range streams[:len(streams)-1] {
		took := s.expectCut(t, since, endPatience)
		t.Logf("measured: the stream %s was cut %v after the first anchor was taken away", s.name, took)
	}
	last.finish(t)
	requests.expectNoFailure(t)
	for _, via := range []string{"lane", "mux"} {
		if in.count(t, time.Time{}, func(e entry) bool { return e.Via == via }) == 0 {
			t.Errorf("no stream took the way %s", via)
		}
	}
}

// renew puts new files into all folders, with or without new leaves. As clusters do not renew at the same time, the
// west has them in use, and requests go on, before the east gets any.
func (w *world) renew(t *testing.T, requests *load, leaves bool) {
	t.Helper()
	for _, cluster := range []string{inWest, inEast} {
		before := w.reloads(t, cluster)
		for _, m := range w.pki.mounts {
			if m.cluster != cluster {
				continue
			}
			if leaves {
				w.pki.issue(m)
			}
			w.pki.project(m)
		}
		expectSoon(t, func() error {
			for at, n := range w.reloads(t, cluster) {
				if n <= before[at] {
					return fmt.Errorf("%s has taken %g sets of certificates into use, want more", at, n)
				}
			}
			return nil
		})
		requests.await(t, stepRequests/2)
	}
}

// reloads are how often each process of a cluster has taken new files into use.
func (w *world) reloads(t *testing.T, cluster string) map[string]float64 {
	t.Helper()
	const ofGateway, ofProbe = "linkspan_gateway_certificate_reloads_total", "linkspan_probe_client_certificate_reloads_total"
	metrics := map[string]string{admin(w.host(ingressOne), adminPort, "/metrics"): ofGateway}
	if cluster == inWest {
		metrics = map[string]string{
			admin(w.host(egressOne), adminPort, "/metrics"):           ofGateway,
			admin(w.host(controllerHost), controllerPort, "/metrics"): ofProbe,
		}
	}
	counts := map[string]float64{}
	for url, name := range metrics {
		n, err := metric(t.Context(), url, name, "result", "accepted")
		if err != nil {
			t.Fatal(err)
		}
		counts[url] = n
	}
	return counts
}
