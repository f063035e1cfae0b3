package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// someRequests wants at least one request.
func someRequests(c *rig.Cluster, from rig.AuditMark, filters ...rig.Filter) error {
	requests, err := c.Requests(from, filters...)
	if err == nil && len(requests) == 0 {
		err = errors.New("no request yet")
	}
	return err
}

// ask asks the admin address.
func ask(ctx context.Context, method, url string) (code int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), errors.Join(err, resp.Body.Close())
}

// Issue 2 §5: liveness, readiness, metrics and the log level on the admin address.
func TestAdminAddress(t *testing.T) {
	p := sharedPair(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	run := p.run(t, func(o *Options) { o.AdminAddress, o.Log.Level, o.LeaderElect = address, "info", true })
	for _, c := range []struct {
		method, path string
		code         int
		says         string
	}{
		{"GET", "/livez", 200, "ok"},
		{"GET", "/readyz", 200, "ok"},
		{"GET", "/metrics", 200, "workqueue_adds_total"},                                   // that of the depth comes with the first key
		{"GET", "/metrics", 200, `leader_election_master_status{name="linkspan-mirror"} `}, // the alerts go by this name (OBS-9)
		{"GET", "/log-level", 200, "INFO"},
		{"PUT", "/log-level?level=loud", 400, `"loud"`},
		{"PUT", "/log-level?level=debug&for=1m", 200, "DEBUG"},
		{"GET", "/log-level", 200, "DEBUG"},
		{"GET", "/nothing-here", 404, ""},
	} {
		rig.ExpectSoon(t, func(ctx context.Context) error {
			code, body, err := ask(ctx, c.method, "http://"+address+c.path)
			if err == nil && (code != c.code || !strings.Contains(body, c.says)) {
				err = fmt.Errorf("%s %s answers %d, want %d with %q in %.80q", c.method, c.path, code, c.code, c.says, body)
			}
			return err
		})
	}
	run.stop(t)
	if code, _, err := ask(t.Context(), "GET", "http://"+address+"/livez"); err == nil {
		t.Errorf("a controller that ended answers %d", code)
	}
}

// linkerds are metrics whose names are Linkerd's: dashboards know them so, whatever the rules say now.
var linkerds = map[string]bool{
	"gateway_enabled": true, "gateway_alive": true, "gateway_latency": true, "gateway_probe_latency_ms": true,
	"gateway_probes": true, "service_mirror_endpoint_repairs": true,
}

// LESSON-59: after twenty Links have come and gone there are as many series as before the first, and
// all of them are well named.
func TestLinkingAndUnlinkingLeavesNoSeries(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.export(t, "web", v1alpha3.ExportedGateway)
	p.export(t, "api", v1alpha3.ExportedRemoteDiscovery)
	stay := p.anonymous(t).link(t, "stay", throughGateway())
	run := p.run(t)
	expectLink(t, p.source, stay, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	p.expectMirrors(t, "stay", 2)
	const rounds = 20
	for range rounds {
		key := p.link(t, "east", throughGateway())
		p.expectMirrors(t, "east", 2)
		rig.Delete(t, p.source, linkNamed(key), p.secretNamed("east"))
		rig.ExpectGone(t, p.source, linkNamed(key))
	}
	p.expectMirrors(t, "east", 0)
	rig.ExpectSoon(t, func(context.Context) error { return noSeriesOf(run.registry, "east") })
	problems, err := testutil.GatherAndLint(run.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		if !linkerds[problem.Metric] {
			t.Errorf("metric %s: %s", problem.Metric, problem.Text)
		}
	}
}

func noSeriesOf(registry *prometheus.Registry, cluster string) error {
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	total := 0
	for _, family := range families {
		for _, metric := range family.Metric {
			total++
			for _, label := range metric.Label {
				if label.GetValue() == cluster {
					return fmt.Errorf("%s has a series of %s: %s", family.GetName(), cluster, metric)
				}
			}
		}
	}
	if total == 0 {
		return errors.New("there are no series at all: nothing was counted")
	}
	return nil
}
