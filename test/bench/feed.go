package main

import (
	"context"
	"fmt"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// change is something that happened to a mirror, and when we heard of it.
type change struct {
	at     time.Time
	kind   watch.EventType
	object client.Object
	err    error // the watch broke, and there is no object
}

// feed watches the mirrors of one kind in west. A goroutine stamps the time on what comes in, so
// that a busy reader does not make it look late.
type feed struct {
	changes chan change
	watcher watch.Interface
}

// feedBuffer holds what comes in while the reader is busy with something else.
const feedBuffer = 1 << 14

// follow starts with the mirrors that there are. The list says of which kind.
func (w *world) follow(ctx context.Context, list client.ObjectList) (*feed, error) {
	scope := []client.ListOption{client.InNamespace(appsNamespace), client.MatchingLabels{v1alpha3.LabelMirroredService: "true"}}
	if err := w.west.Client().List(ctx, list, scope...); err != nil {
		return nil, fmt.Errorf("listing mirrors: %w", err)
	}
	f := &feed{changes: make(chan change, feedBuffer)}
	now := time.Now()
	present := make([]change, 0, meta.LenList(list))
	err := meta.EachListItem(list, func(item runtime.Object) error {
		if object, ok := item.(client.Object); ok {
			present = append(present, change{at: now, kind: watch.Added, object: object})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the list of mirrors: %w", err)
	}
	scope = append(scope, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})
	if f.watcher, err = w.west.Client().Watch(ctx, list, scope...); err != nil {
		return nil, fmt.Errorf("watching mirrors: %w", err)
	}
	go f.receive(present)
	return f, nil
}

func (f *feed) stop() { f.watcher.Stop() }

// receive ends when the watch does; a reader that has gone leaves room enough for what is left.
func (f *feed) receive(present []change) {
	defer close(f.changes)
	for _, c := range present {
		f.changes <- c
	}
	for event := range f.watcher.ResultChan() {
		c := change{at: time.Now(), kind: event.Type}
		switch object := event.Object.(type) {
		case client.Object:
			c.object = object
		default: // a Status: the watch is broken
			c.err = apierrors.FromObject(object)
		}
		f.changes <- c
	}
}

// until reads changes until enough returns true, and returns when that change came.
func (f *feed) until(ctx context.Context, patience time.Duration, what string, enough func(change) bool) (time.Time, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %s", patience))
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("waiting until %s: %w", what, context.Cause(ctx))
		case c, open := <-f.changes:
			if !open {
				return time.Time{}, fmt.Errorf("waiting until %s: the watch ended", what)
			}
			if c.err != nil {
				return time.Time{}, fmt.Errorf("waiting until %s: %w", what, c.err)
			}
			if enough(c) {
				return c.at, nil
			}
		}
	}
}

// readiness counts EndpointSlices by whether they have a ready endpoint.
type readiness struct {
	state map[string]bool
	ready int
}

func newReadiness() *readiness { return &readiness{state: map[string]bool{}} }

// see takes a change into account and returns the name of the slice's Service.
func (r *readiness) see(c change) string {
	slice, ok := c.object.(*discoveryv1.EndpointSlice)
	if !ok {
		return ""
	}
	if r.state[slice.Name] {
		r.ready--
	}
	if c.kind == watch.Deleted {
		delete(r.state, slice.Name)
		return ""
	}
	r.state[slice.Name] = hasReady(slice)
	if r.state[slice.Name] {
		r.ready++
	}
	return slice.Labels[discoveryv1.LabelServiceName]
}

func hasReady(slice *discoveryv1.EndpointSlice) bool {
	for _, endpoint := range slice.Endpoints {
		if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
			return true
		}
	}
	return false
}
