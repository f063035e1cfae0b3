package mirror

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/link/remote"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

const (
	// confirmTimeout bounds the question to the target before a mirror is deleted.
	confirmTimeout = 3 * time.Second
	// maxConfirming is how many deletions per Link are confirmed with its target at a time, and
	// maxConfirmingAll over all Links: targets that answer slowly must not keep the workers.
	maxConfirming    = 2
	maxConfirmingAll = 8
)

// absent says whether the target's silence about a service is enough to delete its mirror: then the
// answer is Absent. It is Unknown while a mass deletion is held. Deletions take turns.
func (r *Reconciler) absent(ctx context.Context, k Key, l link.Link, seenDeleted bool) (plan.RemoteState, error) {
	if !r.confirming.enter(k) {
		return plan.Unknown, &Waiting{After: turnRetry, Reason: v1alpha3.ReasonConfirming, Err: errors.New("other deletions are being confirmed")}
	}
	defer func() {
		if next, ok := r.confirming.leave(k); ok {
			r.queue.add(0, next)
		}
	}()
	if !seenDeleted {
		if !r.indexed() {
			return plan.Unknown, errStale // the brake would count too few mirrors
		}
		if r.brake.holds(l, k.service(), func() ([]remote.ServiceKey, int) { return r.missing(l) }) {
			return plan.Unknown, nil
		}
	}
	return r.confirmGone(ctx, k, l)
}

// confirmGone asks the target itself.
func (r *Reconciler) confirmGone(ctx context.Context, k Key, l link.Link) (plan.RemoteState, error) {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	gone, err := r.targets.ConfirmGone(ctx, l, k.service())
	switch {
	case errors.Is(err, remote.ErrNotConnected):
		return plan.Unknown, nil
	case err != nil:
		return plan.Unknown, err
	case !gone:
		// The watch trails the target; its next event wakes the key, and the timer is for the case that it came first.
		return plan.Unknown, &Waiting{After: staleRetry, Reason: v1alpha3.ReasonConfirming, Err: errors.New("the target still exports the service")}
	}
	return plan.Absent, nil
}

// missing lists the mirrors of a Link whose service the target no longer has, and counts all of them.
func (r *Reconciler) missing(l link.Link) (missing []remote.ServiceKey, total int) {
	exported := map[remote.ServiceKey]struct{}{}
	for _, key := range r.targets.Keys(l) {
		exported[key] = struct{}{}
	}
	local := r.locals.keys(l.Cluster)
	for _, key := range local {
		if _, ok := exported[key]; !ok {
			missing = append(missing, key)
		}
	}
	return missing, len(local)
}

// turnstile lets few keys per Link, and in all, through at a time. The others are remembered and let
// in one for each that leaves, so that nobody has to try again and again.
type turnstile struct {
	perLink, inAll int

	mu      sync.Mutex
	inside  map[link.Name]int
	total   int
	waiting map[link.Name][]Key
	queued  map[Key]struct{}
}

func newTurnstile(perLink, inAll int) *turnstile {
	return &turnstile{
		perLink: perLink, inAll: inAll,
		inside: map[link.Name]int{}, waiting: map[link.Name][]Key{}, queued: map[Key]struct{}{},
	}
}

// enter lets k in, or remembers it. Who is let in must leave.
func (t *turnstile) enter(k Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inside[k.Link] < t.perLink && t.total < t.inAll {
		t.inside[k.Link]++
		t.total++
		return true
	}
	if _, ok := t.queued[k]; !ok {
		t.queued[k] = struct{}{}
		t.waiting[k.Link] = append(t.waiting[k.Link], k)
	}
	return false
}

// leave lets k out and returns a key that may try now, if one waits: of the same Link, or else of any
// Link that has room.
func (t *turnstile) leave(k Key) (Key, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total--
	if t.inside[k.Link]--; t.inside[k.Link] <= 0 {
		delete(t.inside, k.Link)
	}
	if next, ok := t.pop(k.Link); ok {
		return next, true
	}
	for name := range t.waiting {
		if t.inside[name] < t.perLink {
			return t.pop(name)
		}
	}
	return Key{}, false
}

func (t *turnstile) pop(name link.Name) (Key, bool) {
	waiting := t.waiting[name]
	if len(waiting) == 0 {
		return Key{}, false
	}
	next := waiting[0]
	delete(t.queued, next)
	if len(waiting) == 1 {
		delete(t.waiting, name)
	} else {
		t.waiting[name] = waiting[1:]
	}
	return next, true
}
