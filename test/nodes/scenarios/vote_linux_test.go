package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/app/manifests"
	"github.com/linkspan/linkspan/test/app/traffic"
	"github.com/linkspan/linkspan/test/nodes"
)

const (
	// throughGateway and podToPod are the values of the label that exports a Service.
	throughGateway = v1alpha3.ExportedGateway
	podToPod       = v1alpha3.ExportedRemoteDiscovery

	exportLabel = v1alpha3.LabelExported

	// patience is for whatever a user waits for. Longer, and he would call it broken.
	patience = time.Minute
	// quiet is how long no vote may fail until all is well again. A vote is given up after this time, so
	// none is on its way that could still fail.
	quiet = 5
	// askPatience is for one request to the meter, which may have to ask others itself.
	askPatience = 10 * time.Second
)

// exported are the Services of east that west calls.
var exported = []string{"emoji-svc", "voting-svc"} //nolint:gochecknoglobals // a constant

// election is the vote application in both clusters, while votes are sent, twenty in a second.
type election struct {
	*world

	meter   string
	links   *linkWatch
	mirrors map[string]identity
}

// identity is what clients of a mirror hold on to.
type identity struct{ UID, ClusterIP string }

// election starts the application and its traffic, over mirrors of the given kind. It returns when votes are counted.
func (w *world) election(t *testing.T, exportedAs string) *election {
	t.Helper()
	w.each(t, func(ctx context.Context, c *nodes.Cluster) error {
		return c.Apply(ctx, map[string]string{"west": manifests.West(), "east": manifests.East()}[c.Name()])
	})
	e := &election{world: w, mirrors: map[string]identity{}}
	e.export(t, exportedAs)
	for _, service := range exported {
		mirror := service + "-east"
		w.until(t, mirror+" is there", func(ctx context.Context) error {
			found, err := w.service(ctx, mirror)
			e.mirrors[mirror] = found
			return err
		})
	}
	w.until(t, "the application runs", func(ctx context.Context) error {
		return errors.Join(whole(ctx, w.west(), manifests.Namespace), whole(ctx, w.east(), manifests.Namespace))
	})
	pods, err := podsOf(t.Context(), w.west(), manifests.Namespace, client.MatchingLabels{"app": "traffic"})
	if err != nil || len(pods) != 1 {
		t.Fatalf("find the meter: %d pods, %v", len(pods), err)
	}
	e.meter = "http://" + pods[0].Status.PodIP + ":8080"
	e.links = w.watchLinks(t)
	e.steady(t)
	if err := e.ask(t.Context(), http.MethodPost, "/reset", nil); err != nil { // what failed before there were mirrors
		t.Fatal(err)
	}
	return e
}

// export says how west reaches the backends.
func (e *election) export(t *testing.T, as string) {
	t.Helper()
	args := slices.Concat([]string{"label", "service", "--namespace=" + manifests.Namespace, "--overwrite"}, exported, []string{exportLabel + "=" + as})
	if _, err := e.east().Kubectl(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
}

// service is what a Service in west is known by.
func (w *world) service(ctx context.Context, name string) (identity, error) {
	var s corev1.Service
	if err := w.west().Client().Get(ctx, client.ObjectKey{Namespace: manifests.Namespace, Name: name}, &s); err != nil {
		return identity{}, fmt.Errorf("read the Service %s: %w", name, err)
	}
	return identity{UID: string(s.UID), ClusterIP: s.Spec.ClusterIP}, nil
}

// until waits for something that a user waits for.
func (w *world) until(t *testing.T, what string, ask func(context.Context) error) {
	t.Helper()
	if err := within(t.Context(), patience, ask); err != nil {
		t.Fatalf("%s, after %s it is not so: %v", what, patience, err)
	}
}

// ask sends one request to the meter.
func (e *election) ask(ctx context.Context, method, path string, hear any) error {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, e.meter+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask the meter: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask the meter: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the meter answers %s to %s", response.Status, path)
	}
	if hear == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(hear); err != nil {
		return fmt.Errorf("read what the meter says: %w", err)
	}
	return nil
}

func (e *election) report(ctx context.Context) (r traffic.Report, err error) {
	return r, e.ask(ctx, http.MethodGet, "/report", &r)
}

// steady waits until votes succeed and none fails any more, from now on.
func (e *election) steady(t *testing.T) {
	t.Helper()
	began := -1
	e.until(t, "no vote fails", func(ctx context.Context) error {
		r, err := e.report(ctx)
		if err != nil {
			return err
		}
		if began < 0 {
			began = int(r.Seconds)
		}
		if int(r.Seconds) <= began+quiet {
			return errors.New("too early to tell")
		}
		for _, s := range r.PerSecond[len(r.PerSecond)-1-quiet : len(r.PerSecond)-1] { // the last one is not over
			if s.Failed > 0 || s.Succeeded == 0 {
				return fmt.Errorf("in second %d of the run %d failed, %d succeeded; all failures: %v", s.Second, s.Failed, s.Succeeded, r.Failures)
			}
		}
		return nil
	})
}

// votes waits until so many votes have ended since the last mark, well or not: time passes by what happens in it.
func (e *election) votes(t *testing.T, n int) {
	t.Helper()
	e.until(t, fmt.Sprintf("%d votes have ended", n), func(ctx context.Context) error {
		mark, err := e.lastMark(ctx)
		if err == nil && mark.Succeeded+mark.Failed < n {
			err = fmt.Errorf("it is %d", mark.Succeeded+mark.Failed)
		}
		return err
	})
}

func (e *election) lastMark(ctx context.Context) (traffic.MarkReport, error) {
	r, err := e.report(ctx)
	if err == nil && len(r.Marks) == 0 {
		err = errors.New("the meter has no mark: was its pod replaced?")
	}
	if err != nil {
		return traffic.MarkReport{}, err
	}
	return r.Marks[len(r.Marks)-1], nil
}

// event is what happens to an election.
type event struct {
	scenario, name string
	// do makes it happen. It may wait for what the row is to cover.
	do func(*testing.T)
	// outage is that votes still fail when do returns, and that nobody waits for the end of that.
	outage bool
}

// during makes something happen, waits until all is well, and notes for the table what became of votes meanwhile.
func (e *election) during(t *testing.T, ev event) traffic.MarkReport {
	t.Helper()
	if err := e.ask(t.Context(), http.MethodPost, "/mark?name="+url.QueryEscape(ev.name), nil); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ev.do(t)
	took := time.Since(began)
	if !ev.outage {
		e.steady(t)
	}
	mark, err := e.lastMark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e.measured(ev.scenario, ev.name, strings.Join([]string{
		fmt.Sprintf("%3d of %4d failed, %3d on new connections", mark.Failed, mark.Failed+mark.Succeeded, mark.FailedFresh),
		fmt.Sprintf("gap %4.1f s", mark.Gap), "well after " + since(mark.LastFailure), fmt.Sprintf("done %5.1f s", took.Seconds()),
		"link " + e.links.during(began), kindsOf(mark),
	}, "   "))
	return mark
}

// since shows seconds that may never have come.
func since(seconds *float64) string {
	if seconds == nil {
		return "     -"
	}
	return fmt.Sprintf("%4.1f s", *seconds)
}

// kindsOf lists how votes failed, and how soon.
func kindsOf(mark traffic.MarkReport) string {
	if mark.Failed == 0 {
		return ""
	}
	var kinds []string
	for kind, n := range mark.Failures {
		kinds = append(kinds, fmt.Sprintf("%d %s", n, kind))
	}
	slices.Sort(kinds)
	return fmt.Sprintf("failures take %.0f ms: %s", mark.FailedAfter.P50, strings.Join(kinds, ", "))
}

// expectAllCounted fails when a vote was lost or counted twice. Where all of voting was gone at a time, what it had in
// its memory was, too.
func (e *election) expectAllCounted(t *testing.T, allGone bool) traffic.Votes {
	t.Helper()
	var v traffic.Votes
	if err := e.ask(t.Context(), http.MethodGet, "/votes", &v); err != nil {
		t.Fatal(err)
	}
	if v.Lost > 0 || v.Doubled > 0 || v.Unknown > 0 || (v.Gone > 0 && !allGone) || v.Acknowledged == 0 {
		t.Errorf("votes were not counted once each: %+v", v)
	}
	return v
}

// expectSameMirrors fails when clients of mirrors would have to look for them again (MIR-12).
func (e *election) expectSameMirrors(t *testing.T) {
	t.Helper()
	now := map[string]identity{}
	for name := range e.mirrors {
		found, err := e.service(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		now[name] = found
	}
	if diff := cmp.Diff(e.mirrors, now); diff != "" {
		t.Errorf("mirrors are others than before (-before +now):\n%s", diff)
	}
}

// expectWell ends every scenario: each vote was counted once, and mirrors are the same.
func (e *election) expectWell(t *testing.T, scenario string, allGone bool) {
	t.Helper()
	v := e.expectAllCounted(t, allGone)
	e.expectSameMirrors(t)
	r, err := e.report(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e.measured(scenario, "all of it", fmt.Sprintf("%d sent, %d acknowledged, %d lost, %d doubled, %d gone; latency p50 %.1f ms, p99 %.1f ms",
		r.Sent, v.Acknowledged, v.Lost, v.Doubled, v.Gone, r.Latency.P50, r.Latency.P99))
}
