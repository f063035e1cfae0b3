package rig

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Moment is one state that the watched objects were in.
type Moment struct {
	// Time is when the rig heard of it.
	Time time.Time
	// Event is what led to it: ADDED, MODIFIED, DELETED, or LISTED after the watch started (again).
	Event watch.EventType
	// Subject is the object that changed, nil when Event is LISTED.
	Subject client.Object
	// Objects are all that exist, sorted by namespace and name.
	Objects []client.Object
}

// Listed marks a moment that begins a watch. Between it and the moment before, states may be missing.
const Listed watch.EventType = "LISTED"

// History records every state that some objects go through, so that a test can say "never".
type History struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	moments []Moment
	grown   chan struct{} // closed when moments grows
}

// Watch records the objects of one kind in a scope, from now until the test ends. It returns when
// the first state is there.
func Watch(t testing.TB, c *Cluster, kind client.Object, scope Scope) *History {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	h := &History{cancel: cancel, done: make(chan struct{}), grown: make(chan struct{})}
	go func() {
		defer close(h.done)
		f := &feed{client: c.Client(), kind: kind, scope: scope}
		// It ends with the context, which is no news.
		_ = f.run(ctx, func(state map[client.ObjectKey]client.Object, event *watch.Event) bool {
			h.record(state, event)
			return false
		})
	}()
	t.Cleanup(h.Stop)
	h.Eventually(t, func(Moment) error { return nil })
	return h
}

// Stop ends the recording. What was recorded stays.
func (h *History) Stop() {
	h.cancel()
	<-h.done
}

// Moments are the states so far.
func (h *History) Moments() []Moment {
	moments, _ := h.snapshot()
	return moments
}

// Always wants every state so far to pass a check, and fails at the first that does not. Wait first
// for what ends the story, such as with Eventually.
func (h *History) Always(t testing.TB, check func(Moment) error) {
	t.Helper()
	for i, moment := range h.Moments() {
		if err := check(moment); err != nil {
			t.Errorf("state %d (%s at %s): %v\n%s", i, moment.Event, moment.Time.Format("15:04:05.000"), err, render(moment.Objects))
			return
		}
	}
}

// Unbroken wants the watch never to have started anew, so that no state is missing.
func (h *History) Unbroken(t testing.TB) {
	t.Helper()
	moments := h.Moments()
	for i, moment := range moments {
		if i > 0 && moment.Event == Listed {
			t.Errorf("the watch broke after %d states: the history may lack some", i)
		}
	}
}

// Eventually waits until the newest state passes a check, and returns it.
func (h *History) Eventually(t testing.TB, check func(Moment) error) Moment {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), DefaultPatience)
	defer cancel()
	last := errors.New("nothing was recorded yet")
	for {
		moments, grown := h.snapshot()
		if len(moments) > 0 {
			newest := moments[len(moments)-1]
			if last = check(newest); last == nil {
				return newest
			}
			last = fmt.Errorf("%w\n%s", last, render(newest.Objects))
		}
		select {
		case <-grown:
		case <-ctx.Done():
			t.Fatalf("%v: %v", ctx.Err(), last)
		}
	}
}

func (h *History) snapshot() ([]Moment, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clip(h.moments), h.grown
}

func (h *History) record(state map[client.ObjectKey]client.Object, event *watch.Event) {
	moment := Moment{Time: time.Now(), Event: Listed, Objects: sorted(state)}
	if event != nil {
		moment.Event = event.Type
		if subject, ok := event.Object.(client.Object); ok {
			moment.Subject = subject
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.moments = append(h.moments, moment)
	close(h.grown)
	h.grown = make(chan struct{})
}
