package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// eventually waits until done says so.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// LINK-8: after a restart an older Link keeps its cluster also while it cannot be reached, because it
// is known from before where it leads.
func TestOlderLinkKeepsItsClusterWhileItCannotConnect(t *testing.T) {
	t.Parallel()
	early, late := time.Unix(100, 0), time.Unix(200, 0)
	owner := linked(t, map[string]string{"older": "", "younger": "u"}, map[string]time.Time{"older": early, "younger": late})
	owner.sessions["older"].target.KnownUID = "u"
	if got := owner.olderWith(target("younger", late).Link, "u"); got != "older" {
		t.Errorf("the younger is refused because of %q, want the older", got)
	}
	if got := owner.olderWith(target("older", early).Link, "u"); got != "" {
		t.Errorf("the older is refused because of %q", got)
	}
	owner.sessions["older"].report.UID = "v" // it leads elsewhere by now
	if got := owner.olderWith(target("younger", late).Link, "u"); got != "" {
		t.Errorf("the younger is refused because of %q, which leads elsewhere", got)
	}
}

// LINK-8: the same holds before the older Link is set at all; once it is, its session knows better, and
// once it is gone nobody is in the way.
func TestOlderLinkKeepsItsClusterBeforeItIsSet(t *testing.T) {
	t.Parallel()
	early, late := time.Unix(100, 0), time.Unix(200, 0)
	owner := linked(t, map[string]string{"younger": ""}, map[string]time.Time{"younger": late})
	record := func() {
		owner.Record(map[link.Name]Recorded{
			"older":   {Link: link.Link{Name: "older", Created: early}, UID: "u"},
			"younger": {Link: link.Link{Name: "younger", Created: late}, UID: "u"},
		})
	}
	record()
	ask := target("younger", late).Link
	if got := owner.olderWith(ask, "u"); got != "older" {
		t.Errorf("the younger is refused because of %q, want the older", got)
	}
	if got := owner.olderWith(ask, "w"); got != "" {
		t.Errorf("for another cluster it is refused because of %q", got)
	}
	owner.Remove("older")
	if got := owner.olderWith(ask, "u"); got != "" {
		t.Errorf("the younger is refused because of %q, which is gone", got)
	}
}

// LINK-8: whoever was faster than the older Link at the start looks again when that becomes known.
func TestOlderLinkThatComesLateIsHeeded(t *testing.T) {
	t.Parallel()
	owner := linked(t, map[string]string{"younger": "u", "elsewhere": "v"}, nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	owner.ctx = ended // so that the new session does nothing
	late := target("older", time.Time{})
	late.KnownUID = "u"
	owner.Set(late)
	<-owner.sessions["older"].ended
	for name, want := range map[link.Name]int{"younger": 1, "elsewhere": 0} {
		if got := len(owner.sessions[name].wake); got != want {
			t.Errorf("%s was woken %d times, want %d", name, got, want)
		}
	}
}

// The end of a session is neither a success nor a loss.
func TestEndOfASessionIsNoNews(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	tell := func(link.Name) { t.Error("told of the end") }
	owner := NewConnections(logr.Discard(), "test", NewMetrics(registry), nil, Events{Link: tell, Attempt: tell})
	s := &session{owner: owner, name: "east", target: target("east", time.Time{}), ended: make(chan struct{})}
	stopped := false
	s.current = &Connection{target: s.target, end: func() { stopped = true }, client: &remoteClient{transport: &http.Transport{}}}
	owner.sessions["east"] = s
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.run(ctx)
	if !stopped || s.connection() != nil {
		t.Error("the connection goes on")
	}
	if n, err := testutil.GatherAndCount(registry); err != nil || n > 0 {
		t.Errorf("%d series (error %v), want none", n, err)
	}
}

// hanging is a target that takes requests and answers none of them.
func hanging(t *testing.T, requests *atomic.Int32) http.Handler {
	t.Helper()
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	return http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		requests.Add(1)
		select {
		case <-over:
		case <-req.Context().Done():
			panic(http.ErrAbortHandler) //nolint:forbidigo // who gives up says goodbye before closing, and would read an answer to that
		}
	})
}

// LESSON-5: a question that new credentials cut off is no failure, and is neither waited for nor asked again.
func TestQuestionEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	key := ServiceKey{"shop", "web"}
	owner := linked(t, map[string]string{"east": "u"}, nil)
	s := owner.sessions["east"]
	s.current = &Connection{target: s.target, client: serving(t, hanging(t, &asked)), deleted: map[ServiceKey]struct{}{key: {}}}
	s.current.life, s.current.end = context.WithCancel(t.Context())
	answer := make(chan error, 1)
	go func() {
		_, err := owner.ConfirmGone(t.Context(), s.target.Link, key)
		answer <- err
	}()
	eventually(t, "the target is asked", func() bool { return asked.Load() > 0 })
	s.current.end() // what comes first when it is stopped, and has to be enough
	select {
	case err := <-answer:
		if !errors.Is(err, ErrNotConnected) {
			t.Errorf("the answer is %v, want %v", err, ErrNotConnected)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it waits on")
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}

// LESSON-5: nobody waits for an attempt whose target is not wanted any more, and nobody hears of it.
func TestAttemptIsAbandonedForAnotherTarget(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	slow := target("east", time.Time{})
	slow.Link.Exported = parsed(t, "x=1")
	better := slow
	slow.Credentials, slow.Fingerprint = credentialsFor(t, hanging(t, &asked)), "slow"
	better.Credentials = credentialsFor(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	better.Fingerprint = "better"

	reasons := make(chan string, 100)
	var owner *Connections
	owner = NewConnections(logr.Discard(), "test", NewMetrics(prometheus.NewRegistry()),
		func(context.Context) (types.UID, error) { return "uid-here", nil },
		Events{Link: func(link.Name) {}, Attempt: func(n link.Name) {
			if f := owner.Report(n).Failure; f != nil {
				reasons <- f.Reason
			}
		}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- owner.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	owner.Set(slow)
	eventually(t, "the slow target is asked", func() bool { return asked.Load() > 0 })
	start := time.Now()
	owner.Set(better)
	if reason := <-reasons; reason != v1alpha3.ReasonForbidden {
		t.Errorf("the first that is heard is %s", reason)
	}
	if took := time.Since(start); took > connectTimeout/2 {
		t.Errorf("the other target had to wait for %s", took)
	}
}

// sliceTarget is a target with no EndpointSlices.
func sliceTarget() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if req.URL.Query().Get("watch") == "" {
			write(w, `{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"1"},"items":[]}`)
			return
		}
		if req.URL.Query().Get("sendInitialEvents") == "true" {
			write(w, `{"type":"BOOKMARK","object":{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1",
				"metadata":{"resourceVersion":"1","annotations":{"k8s.io/initial-events-end":"true"}}}}`)
		}
		w.(http.Flusher).Flush()
		<-req.Context().Done()
	})
}

// write answers a client, which complains itself when it gets nothing.
func write(w http.ResponseWriter, text string) { _, _ = fmt.Fprint(w, text) }

// following starts the watch of manual slices of a live connection.
func following(t *testing.T, handler http.Handler) *bench {
	t.Helper()
	b := newBench(t)
	b.client = serving(t, handler)
	b.manual = newManualSlices(b.client, feedHandler{
		changed: func(any, bool) {}, deleted: func(any, bool) {}, failed: b.watchFailed,
	})
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() {
		cancel()
		b.manual.stop()
	})
	if err := b.manual.start(ctx, ctx, b.Connection); err != nil {
		t.Fatal(err)
	}
	return b
}

// A service whose slices are watched no more is told of like one whose slices are watched now.
func TestManualSlicesTellOfWhatTheyLeave(t *testing.T) {
	t.Parallel()
	left, stays, comes := ServiceKey{"shop", "a"}, ServiceKey{"shop", "b"}, ServiceKey{"shop", "c"}
	b := following(t, sliceTarget())
	watching := func(want ...ServiceKey) func() bool {
		var told []ServiceKey
		return func() bool {
			told = append(told, b.takeTold()...)
			return !slices.ContainsFunc(want, func(k ServiceKey) bool { return !slices.Contains(told, k) })
		}
	}
	b.manual.want(left, true)
	b.manual.want(stays, true)
	eventually(t, "a and b are told of", watching(left, stays))
	b.manual.want(left, false)
	b.manual.want(comes, true)
	eventually(t, "all three are told of", watching(left, stays, comes))
	b.manual.want(stays, false)
	b.manual.want(comes, false)
	eventually(t, "b and c are told of when there is no watch any more", watching(stays, comes))
	if b.manual.indexer() != nil {
		t.Error("there is a watch of nothing")
	}
}

// So is one that goes while the watch is built which still shows its slices.
func TestManualSlicesTellOfWhatLeavesMeanwhile(t *testing.T) {
	t.Parallel()
	left, comes := ServiceKey{"shop", "a"}, ServiceKey{"shop", "b"}
	requests, answer := make(chan struct{}, 100), make(chan struct{})
	target := sliceTarget()
	b := following(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		requests <- struct{}{}
		<-answer
		target.ServeHTTP(w, req)
	}))
	b.manual.want(left, true)
	<-requests
	b.manual.want(left, false)
	b.manual.want(comes, true)
	close(answer)
	var told []ServiceKey
	times := func(key ServiceKey) int {
		return len(slices.DeleteFunc(slices.Clone(told), func(k ServiceKey) bool { return k != key }))
	}
	eventually(t, "a is told of when its slices come and when they go", func() bool {
		told = append(told, b.takeTold()...)
		return times(left) >= 2 && times(comes) >= 1
	})
}

// A refusal of the watch of manual slices ends the connection, of which its session must hear.
func TestManualSlicesLeaveProblemsToTheSession(t *testing.T) {
	t.Parallel()
	requests, answer := make(chan struct{}), make(chan struct{})
	b := following(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		select {
		case requests <- struct{}{}:
		case <-req.Context().Done():
			return
		}
		select {
		case <-answer:
		case <-req.Context().Done():
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	b.manual.want(ServiceKey{"shop", "web"}, true)
	for range 3 { // at the last one, every refusal before it has been heard of
		<-requests
		if len(b.problems) == 0 {
			answer <- struct{}{}
		}
	}
	if len(b.problems) == 0 {
		t.Fatal("the refusal was swallowed")
	}
	if f := <-b.problems; f.Reason != v1alpha3.ReasonForbidden {
		t.Errorf("the problem is %v", f)
	}
}
