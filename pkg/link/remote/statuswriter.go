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

// statusInterval is the least time between two status writes of one Link (architecture, decision 6).
const statusInterval = time.Second

// StatusWriter writes the status of Links: only the leader's does, only when something but time
// changed, and at most once a second per Link, however many services changed.
type StatusWriter struct {
	Log         logr.Logger
	Client      client.Client
	Namespace   string
	Links       *Links
	Connections *Connections
	// Gateway and Mirrors report on a Link, from memory.
	Gateway func(link.Name) GatewayReport
	Mirrors func(link.Name) MirrorReport

	mu    sync.Mutex
	dirty map[link.Name]struct{}
	wake  chan struct{}
}

// Changed marks a Link whose status may differ. It never blocks.
func (w *StatusWriter) Changed(name link.Name) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dirty == nil {
		w.dirty = map[link.Name]struct{}{}
	}
	w.dirty[name] = struct{}{}
	select {
	case w.wakeups() <- struct{}{}:
	default:
	}
}

// wakeups is made on first use, under the lock, so that the zero StatusWriter with its fields set works.
func (w *StatusWriter) wakeups() chan struct{} {
	if w.wake == nil {
		w.wake = make(chan struct{}, 1)
	}
	return w.wake
}

// Start implements manager.Runnable. It writes until ctx ends.
func (w *StatusWriter) Start(ctx context.Context) error {
	for _, l := range w.Links.All() {
		w.Changed(l.Name)
	}
	w.mu.Lock()
	wake := w.wakeups()
	w.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		}
		for _, name := range w.take() {
			if err := w.write(ctx, name); err != nil {
				w.Log.Info("Writing the status of a Link failed and is retried", "link", name, "error", err.Error())
				w.Changed(name)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(statusInterval):
		}
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (w *StatusWriter) NeedLeaderElection() bool { return true }

func (w *StatusWriter) take() []link.Name {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]link.Name, 0, len(w.dirty))
	for name := range w.dirty {
		out = append(out, name)
	}
	clear(w.dirty)
	return out
}

func (w *StatusWriter) write(ctx context.Context, name link.Name) error {
	var obj v1alpha3.Link
	err := w.Client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: string(name)}, &obj)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	e, _ := w.Links.entry(name)
	next := status(observed{
		generation: obj.Generation, deleting: !obj.DeletionTimestamp.IsZero(), previous: obj.Status, entry: e,
		connection: w.Connections.Report(name), gateway: w.Gateway(name), mirrors: w.Mirrors(name),
	}, metav1.Now())
	if sameStatus(obj.Status, next) {
		return nil
	}
	intent, err := statusIntent(&obj, next)
	if err != nil {
		return err
	}
	err = w.Client.Status().Apply(ctx, intent, client.FieldOwner(v1alpha3.FieldManager), client.ForceOwnership)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // gone, or replaced by a Link of the same name whose own turn will come
	}
	if err != nil {
		return fmt.Errorf("applying the status: %w", err)
	}
	return nil
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
