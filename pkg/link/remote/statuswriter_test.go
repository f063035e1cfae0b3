package remote

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	linkac "github.com/linkspan/linkspan/api/v1alpha3/applyconfiguration/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// statusAPI is the API server as far as the StatusWriter sees it, with one Link.
type statusAPI struct {
	client.Client

	mu     sync.Mutex
	link   *v1alpha3.Link // nil when there is none
	refuse error
	writes []time.Time
	ready  []string // the reason of Ready of each write
}

// Status implements client.Client.
func (a *statusAPI) Status() client.SubResourceWriter { return statusWrites{api: a} }

// Get implements client.Client.
func (a *statusAPI) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.link == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "links"}, key.Name)
	}
	a.link.DeepCopyInto(obj.(*v1alpha3.Link))
	return nil
}

type statusWrites struct {
	client.SubResourceWriter
	api *statusAPI
}

// Apply implements client.SubResourceWriter.
func (s statusWrites) Apply(_ context.Context, obj runtime.ApplyConfiguration, _ ...client.SubResourceApplyOption) error {
	a := s.api
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writes = append(a.writes, time.Now())
	for _, c := range obj.(*linkac.LinkApplyConfiguration).Status.Conditions {
		if *c.Type == v1alpha3.ConditionReady {
			a.ready = append(a.ready, *c.Reason)
			a.link.Status.Conditions = []metav1.Condition{{Type: *c.Type, Status: *c.Status, Reason: *c.Reason, Message: *c.Message}}
		}
	}
	return a.refuse
}

func (a *statusAPI) seen() (writes []time.Time, ready []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.writes, a.ready
}

// world is what a StatusWriter reports on; the test changes it.
type world struct {
	api     *statusAPI
	writer  *StatusWriter
	session *session

	mu      sync.Mutex
	mirrors MirrorReport
	gateway GatewayReport
}

func (w *world) set(connection Report, mirrors MirrorReport, gateway GatewayReport) {
	w.session.mu.Lock()
	w.session.report = connection
	w.session.mu.Unlock()
	w.mu.Lock()
	w.mirrors, w.gateway = mirrors, gateway
	w.mu.Unlock()
	w.writer.Changed("east")
}

// writing runs a StatusWriter over a Link until the bubble of the test ends.
func writing(t *testing.T, obj *v1alpha3.Link) *world {
	t.Helper()
	w := &world{api: &statusAPI{link: obj}, session: &session{name: "east"}}
	metrics := NewMetrics(prometheus.NewRegistry())
	connections := NewConnections(logr.Discard(), "test", metrics, nil, Events{})
	connections.sessions["east"] = w.session
	links := NewLinks()
	links.update("east", func(e *entry) { *e = healthy().entry })
	w.writer = &StatusWriter{
		Log: logr.Discard(), Client: w.api, Links: links, Connections: connections, Metrics: metrics,
		Gateway: func(link.Name) GatewayReport {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.gateway
		},
		Mirrors: func(link.Name) MirrorReport {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.mirrors
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.writer.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return w
}

func linkOf(ready string) *v1alpha3.Link {
	l := &v1alpha3.Link{ObjectMeta: metav1.ObjectMeta{Name: "east", UID: "uid"}}
	if ready != "" {
		l.Status.Conditions = []metav1.Condition{{Type: v1alpha3.ConditionReady, Status: metav1.ConditionTrue, Reason: ready}}
	}
	return l
}

// after waits in the bubble's time.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// A status that the API server refuses is tried again with patience, and the turn is not lost.
func TestStatusWriterBacksOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		obj := linkOf("")
		w := writing(t, obj)
		w.api.refuse = errors.New("422")
		start := time.Now()
		for range 100 { // nor do changes make it hurry
			after(time.Second)
			w.writer.Changed("east")
		}
		writes, _ := w.api.seen()
		if n := len(writes); n < 6 || n > 9 {
			t.Errorf("%d tries within 100 s, want 1, 2, 4, 8, 16 and 30 s between them: %v", n, writes)
		}
		for i := 1; i < len(writes); i++ {
			if gap := writes[i].Sub(writes[i-1]); gap > maxStatusPause+2*statusInterval {
				t.Errorf("%s between two tries", gap)
			}
		}
		t.Logf("tries %v after the start", since(start, writes))

		w.api.mu.Lock()
		w.api.refuse = nil
		before := len(w.api.writes)
		w.api.mu.Unlock()
		after(maxStatusPause + 2*statusInterval)
		if writes, _ := w.api.seen(); len(writes) == before {
			t.Error("it is not tried again")
		}
	})
}

func since(start time.Time, times []time.Time) []time.Duration {
	out := make([]time.Duration, 0, len(times))
	for _, at := range times {
		out = append(out, at.Sub(start))
	}
	return out
}

// A restart is no news: what an earlier process wrote stays until this one knows better, or until it
// has had the time for that.
func TestStatusWriterFindsOutBeforeItWrites(t *testing.T) {
	t.Parallel()
	o := healthy()
	alive, connected, mirrored := o.gateway, o.connection, o.mirrors
	unprobed := GatewayReport{Addresses: []v1alpha3.GatewayAddressStatus{{Address: "203.0.113.7", State: "Unknown"}}}
	unseen := MirrorReport{Counts: v1alpha3.ServiceCounts{Exported: 2}, Unseen: 2}
	lost := Report{Failure: because(v1alpha3.ReasonConnectionRefused, "refused")}
	for name, c := range map[string]struct {
		before string // the reason of Ready that an earlier process wrote
		steps  func(*testing.T, *world)
		want   []string
	}{
		"a restart with nothing new": {
			before: v1alpha3.ReasonReady,
			steps: func(_ *testing.T, w *world) {
				w.set(Report{}, MirrorReport{}, GatewayReport{})
				after(time.Second)
				w.set(connected, unseen, unprobed)
				after(time.Second)
				w.set(connected, mirrored, unprobed)
				after(3 * time.Second)
				w.set(connected, mirrored, alive)
				after(2 * time.Second)
			},
			want: []string{v1alpha3.ReasonReady},
		},
		"what happens after that is told": {
			before: v1alpha3.ReasonReady,
			steps: func(_ *testing.T, w *world) {
				w.set(connected, mirrored, alive)
				after(2 * time.Second)
				w.set(connected, unseen, alive)
				after(2 * time.Second)
			},
			want: []string{v1alpha3.ReasonReady, v1alpha3.ReasonSyncing},
		},
		"the target went meanwhile": {
			before: v1alpha3.ReasonReady,
			steps: func(_ *testing.T, w *world) {
				w.set(lost, MirrorReport{}, unprobed)
				after(3 * time.Second)
				w.set(lost, MirrorReport{}, alive)
				after(2 * time.Second)
			},
			want: []string{v1alpha3.ReasonConnectionRefused},
		},
		"it takes too long": {
			before: v1alpha3.ReasonReady,
			steps: func(t *testing.T, w *world) {
				w.set(connected, unseen, alive)
				after(findingOut - time.Second)
				if _, ready := w.api.seen(); len(ready) > 0 {
					t.Errorf("%v was written too early", ready)
				}
				after(2 * time.Second)
			},
			want: []string{v1alpha3.ReasonSyncing},
		},
		"a new Link is told of at once": {
			steps: func(_ *testing.T, w *world) {
				w.set(Report{}, MirrorReport{}, GatewayReport{})
				after(time.Second)
				w.set(connected, mirrored, unprobed)
				after(2 * time.Second)
			},
			want: []string{v1alpha3.ReasonConnecting, v1alpha3.ReasonGatewayUnknown},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := writing(t, linkOf(c.before))
				c.steps(t, w)
				_, ready := w.api.seen()
				// The stub keeps only Ready of what was written, so that each look writes again.
				if diff := cmp.Diff(c.want, distinct(ready)); diff != "" {
					t.Errorf("reasons of Ready (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// OBS-9: alerts go by what the status says, also where it does not change, until the Link is gone.
func TestStatusWriterMeasuresConditions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := writing(t, linkOf(""))
		o := healthy()
		expect := func(want ...string) {
			t.Helper()
			after(2 * time.Second)
			text := ""
			if len(want) > 0 {
				text = "# HELP linkspan_link_condition Whether a condition of a Link is true (1) or false (0), as the leader last found it; absent while it is unknown.\n" +
					"# TYPE linkspan_link_condition gauge\n"
			}
			for _, line := range want {
				text += "linkspan_link_condition{condition=" + line + "\n"
			}
			if err := testutil.CollectAndCompare(w.writer.Metrics.conditions, strings.NewReader(text)); err != nil {
				t.Error(err)
			}
		}
		w.set(o.connection, o.mirrors, o.gateway)
		expect(`"Connected",link="east"} 1`, `"CredentialsValid",link="east"} 1`, `"GatewayReady",link="east"} 1`, `"Ready",link="east"} 1`, `"Synced",link="east"} 1`)
		w.set(Report{Failure: because(v1alpha3.ReasonUnauthorized, "401")}, o.mirrors, o.gateway)
		expect(`"Connected",link="east"} 0`, `"CredentialsValid",link="east"} 0`, `"GatewayReady",link="east"} 1`, `"Ready",link="east"} 0`)
		w.api.mu.Lock()
		w.api.link = nil
		w.api.mu.Unlock()
		w.writer.Changed("east")
		expect()
	})
}

func distinct(list []string) []string {
	var out []string
	for _, s := range list {
		if len(out) == 0 || out[len(out)-1] != s {
			out = append(out, s)
		}
	}
	return out
}

func TestStatusWriterForgetsLinksThatAreGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := writing(t, linkOf(""))
		after(2 * time.Second)
		w.api.mu.Lock()
		w.api.link = nil
		w.api.mu.Unlock()
		w.writer.Changed("east")
		after(2 * time.Second)
		w.writer.mu.Lock()
		defer w.writer.mu.Unlock()
		if len(w.writer.turns)+len(w.writer.dirty) > 0 {
			t.Errorf("it remembers %v and %v", w.writer.turns, w.writer.dirty)
		}
	})
}
