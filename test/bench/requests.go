package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/linkspan/linkspan/test/rig"
)

// marks are the ends of both audit logs at one moment.
type marks struct{ west, east rig.AuditMark }

func (w *world) mark() (m marks, err error) {
	if m.west, err = w.west.Now(); err != nil {
		return m, err
	}
	m.east, err = w.east.Now()
	return m, err
}

// requests are what the controller asked of both API servers, sorted by kind.
type requests struct {
	// mirrorWrites are those to Services and EndpointSlices in west, otherWrites all other writes but leases.
	mirrorWrites, otherWrites int
	reads, watches, leases    int
	// kinds counts all of them by verb and resource, and by the error that they were answered with, if any.
	kinds map[string]int
}

// all leaves out leases and watches, which come by the clock.
func (r requests) all() int { return r.mirrorWrites + r.otherWrites + r.reads }

// requestsSince counts what the controller asked since m.
func (w *world) requestsSince(m marks) (requests, error) {
	west, err := w.west.Requests(m.west, rig.By(w.controller.Name))
	if err != nil {
		return requests{}, err
	}
	east, err := w.east.Requests(m.east, rig.By(w.remote.Name))
	if err != nil {
		return requests{}, err
	}
	return sortRequests(append(west, east...)), nil
}

func sortRequests(all []rig.Request) requests {
	r := requests{kinds: map[string]int{}}
	write, mirror, watches, refused := rig.Writes(), rig.Of("services", "endpointslices"), rig.Watches(), rig.Refused()
	for _, request := range all {
		kind := request.String()
		if refused(request) {
			kind += fmt.Sprintf(" -> %d", request.Code)
		}
		r.kinds[kind]++
		switch {
		case request.Resource == "leases":
			r.leases++
		case watches(request):
			r.watches++
		case !write(request):
			r.reads++
		case mirror(request):
			r.mirrorWrites++
		default:
			r.otherWrites++
		}
	}
	return r
}

// kindsText lists the most frequent kinds.
func (r requests) kindsText() string {
	kinds := make([]string, 0, len(r.kinds))
	for kind := range r.kinds {
		kinds = append(kinds, kind)
	}
	slices.SortFunc(kinds, func(a, b string) int { return cmp.Or(r.kinds[b]-r.kinds[a], cmp.Compare(a, b)) })
	var text strings.Builder
	for _, kind := range kinds {
		fmt.Fprintf(&text, "\n          %6d  %s", r.kinds[kind], kind)
	}
	return text.String()
}

const (
	// quietFor is how long the controller must ask nothing to count as settled.
	quietFor    = 3 * time.Second
	quietWithin = time.Minute
)

// settle waits until the controller asks nothing any more but watches and leases.
func (w *world) settle(ctx context.Context) error {
	deadline := time.Now().Add(quietWithin)
	for since := time.Now(); time.Since(since) < quietFor; {
		if time.Now().After(deadline) {
			return fmt.Errorf("the controller still asks after %s", quietWithin)
		}
		from, err := w.mark()
		if err != nil {
			return err
		}
		if err := pause(ctx, quietFor/10); err != nil {
			return err
		}
		seen, err := w.requestsSince(from)
		if err != nil {
			return err
		}
		if seen.all() > 0 {
			since = time.Now()
		}
	}
	return nil
}

// pause is for what is measured over a time, and not a way of waiting for something to happen.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
