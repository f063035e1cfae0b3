package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	linkac "github.com/linkspan/linkspan/api/v1alpha3/applyconfiguration/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

const (
	// statusInterval is the least time between two status writes of one Link (architecture, decision 6).
	statusInterval = time.Second
	// maxStatusPause is the most time between two tries of a write that fails.
	maxStatusPause = 30 * time.Second
	// findingOut is how long what an earlier process or leader wrote is left in place while we do not
	// know better yet: longer than an attempt to connect, and within the 15 s of LESSON-41.
	findingOut = connectTimeout + 2*time.Second
)

// StatusWriter writes the status of Links: only the leader's does, only when something but time
// changed, and at most once a second per Link, however many services changed. Only a new verdict on a
// gateway does not wait: egresses go by the addresses in the status. A restart is no change:
// until everything that a status speaks of is found out anew, the Link keeps the one that it has.
type StatusWriter struct {
	Log         logr.Logger
	Client      client.Client
	Namespace   string
	Links       *Links
	Connections *Connections
	// Gateway and Mirrors report on a Link, from memory.
	Gateway func(link.Name) GatewayReport
	Mirrors func(link.Name) MirrorReport
	// Metrics say what the status does.
	Metrics *Metrics

	mu      sync.Mutex
	dirty   map[link.Name]struct{}
	urgent  map[link.Name]struct{} // those of dirty that do not wait
	turns   map[link.Name]turn
	wake    chan struct{}
	hurry   chan struct{}
	started time.Time
}

// turn is what is remembered of the writes of one Link.
type turn struct {
	// foundOut is set once the status speaks of the present, and not of our start.
	foundOut bool
	// pause is how long the last failed write made the next one wait, until notBefore.
	pause     time.Duration
	notBefore time.Time
}

// Changed marks a Link whose status may differ. It never blocks.
func (w *StatusWriter) Changed(name link.Name) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mark(name)
	signal(w.wake)
}

// Verdict marks a Link whose gateway has a new verdict. It never blocks.
func (w *StatusWriter) Verdict(name link.Name) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mark(name)
	w.urgent[name] = struct{}{}
	signal(w.hurry)
}

// mark makes what is needed on first use, so that the zero StatusWriter with its fields set works.
func (w *StatusWriter) mark(name link.Name) {
	w.prepare()
	w.dirty[name] = struct{}{}
}

func (w *StatusWriter) prepare() {
	if w.dirty == nil {
		w.dirty, w.urgent = map[link.Name]struct{}{}, map[link.Name]struct{}{}
		w.wake, w.hurry = make(chan struct{}, 1), make(chan struct{}, 1)
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Start implements manager.Runnable. It writes until ctx ends.
func (w *StatusWriter) Start(ctx context.Context) error {
	for _, l := range w.Links.All() {
		w.Changed(l.Name)
	}
	w.mu.Lock()
	w.started = time.Now()
	w.prepare()
	wake, hurry := w.wake, w.hurry
	w.mu.Unlock()
	var rest <-chan time.Time // until it comes, only verdicts are written
	for {
		next := wake
		if rest != nil {
			next = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-hurry:
			w.pass(ctx, w.take(true))
		case <-next:
			w.pass(ctx, w.take(false))
			rest = time.After(statusInterval)
		case <-rest:
			rest = nil
			w.again()
		}
	}
}

func (w *StatusWriter) pass(ctx context.Context, names []link.Name) {
	for _, name := range names {
		w.takeTurn(ctx, name)
	}
}

// takeTurn writes the status of one Link, or leaves that for another turn.
func (w *StatusWriter) takeTurn(ctx context.Context, name link.Name) {
	held, err := w.write(ctx, name)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		pause := w.putOff(name)
		w.Log.Info("Writing the status of a Link failed and is retried", "link", name, "error", shown(err.Error(), maxMessage), "after", pause.String())
	case held:
		w.Changed(name)
	default:
		w.done(name)
	}
}

// done forgets that writes failed before.
func (w *StatusWriter) done(name link.Name) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t, ok := w.turns[name]; ok {
		w.turns[name] = turn{foundOut: t.foundOut}
	}
}

// putOff keeps the turn of a Link whose write failed, for later.
func (w *StatusWriter) putOff(name link.Name) (pause time.Duration) {
	w.change(name, func(t *turn) {
		t.pause = min(max(2*t.pause, statusInterval), maxStatusPause)
		t.notBefore = time.Now().Add(t.pause)
		pause = t.pause
	})
	w.Changed(name)
	return pause
}

func (w *StatusWriter) change(name link.Name, change func(*turn)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.turns == nil {
		w.turns = map[link.Name]turn{}
	}
	t := w.turns[name]
	change(&t)
	w.turns[name] = t
}

// again wakes the writer for the turns that were put off.
func (w *StatusWriter) again() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.dirty) > 0 {
		signal(w.wake)
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (w *StatusWriter) NeedLeaderElection() bool { return true }

// take returns the Links whose turn it is, perhaps only those with a verdict; the others stay marked.
func (w *StatusWriter) take(urgent bool) []link.Name {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	from := w.dirty
	if urgent {
		from = w.urgent
	}
	out := make([]link.Name, 0, len(from))
	for name := range from {
		if !now.Before(w.turns[name].notBefore) {
			out = append(out, name)
			delete(w.dirty, name)
		}
		delete(w.urgent, name)
	}
	return out
}

// write brings the status up to date; held says that it is too early for that.
func (w *StatusWriter) write(ctx context.Context, name link.Name) (held bool, err error) {
	var obj v1alpha3.Link
	err = w.Client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: string(name)}, &obj)
	if apierrors.IsNotFound(err) {
		w.forget(name)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the Link: %w", err)
	}
	e, _ := w.Links.entry(name)
	o := observed{
		generation: obj.Generation, deleting: !obj.DeletionTimestamp.IsZero(), previous: obj.Status, entry: e,
		connection: w.Connections.Report(name), gateway: w.Gateway(name), mirrors: w.Mirrors(name),
	}
	if w.tooEarly(name, o) {
		return true, nil
	}
	next := status(o, metav1.Now())
	w.Metrics.status(name, next.Conditions)
	if sameStatus(obj.Status, next) {
		return false, nil
	}
	intent, err := statusIntent(&obj, next)
	if err != nil {
		return false, err
	}
	err = w.Client.Status().Apply(ctx, intent, client.FieldOwner(v1alpha3.FieldManager), client.ForceOwnership)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return false, nil // gone, or replaced by a Link of the same name whose own turn will come
	}
	if err != nil {
		return false, fmt.Errorf("applying the status: %w", err)
	}
	return false, nil
}

// tooEarly says whether a Link keeps the status that it has from before us.
func (w *StatusWriter) tooEarly(name link.Name, o observed) (early bool) {
	w.change(name, func(t *turn) {
		t.foundOut = t.foundOut || len(o.previous.Conditions) == 0 || o.deleting || o.foundOut() || time.Since(w.started) >= findingOut
		early = !t.foundOut
	})
	return early
}

func (w *StatusWriter) forget(name link.Name) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.turns, name)
	w.Metrics.forgetStatus(name)
}

func sameStatus(a, b v1alpha3.LinkStatus) bool { return equality.Semantic.DeepEqual(a, b) }

// statusIntent turns a status into an apply configuration, by way of the JSON that both share.
func statusIntent(obj *v1alpha3.Link, s v1alpha3.LinkStatus) (*linkac.LinkApplyConfiguration, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding the status: %w", err)
	}
	intent := linkac.LinkStatus()
	if err := json.Unmarshal(data, intent); err != nil {
		return nil, fmt.Errorf("decoding the status: %w", err)
	}
	return linkac.Link(obj.Name, obj.Namespace).WithUID(obj.UID).WithStatus(intent), nil
}
