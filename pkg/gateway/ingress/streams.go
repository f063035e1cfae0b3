package ingress

import (
	"context"
	"errors"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// cutError is the cause of a context that was ended from here: why a stream, or a connection with all of
// its streams, was cut.
type cutError struct{ reason string }

// Error implements error.
func (e *cutError) Error() string { return "cut by the gateway: " + e.reason }

// cutReason is why ctx has ended, and empty while it has not.
func cutReason(ctx context.Context) string {
	if ctx.Err() == nil {
		return ""
	}
	if cut, ok := errors.AsType[*cutError](context.Cause(ctx)); ok {
		return cut.reason
	}
	return stream.ReasonStopped
}

// openStreams are the streams that ask or were let in, by Service, so that they can be judged again.
type openStreams struct {
	mu        sync.Mutex
	byService map[types.NamespacedName]map[*openStream]struct{}
}

type openStream struct {
	request request
	cut     context.CancelCauseFunc
}

func newOpenStreams() *openStreams {
	return &openStreams{byService: map[types.NamespacedName]map[*openStream]struct{}{}}
}

// begin registers a stream. The context that it gives ends when the stream is cut, or when ctx ends, and the
// stream is aborted then. end forgets the stream and waits for an abort that is under way: what carried
// the stream may be about to carry another one.
func (o *openStreams) begin(ctx context.Context, r request, abort func()) (_ context.Context, end func()) {
	ctx, cut := context.WithCancelCause(ctx)
	s := &openStream{request: r, cut: cut}
	aborted := make(chan struct{})
	unless := context.AfterFunc(ctx, func() {
		defer close(aborted)
		abort()
	})
	o.add(s)
	return ctx, func() {
		o.remove(s)
		if !unless() {
			<-aborted
		}
		cut(nil)
	}
}

func (o *openStreams) add(s *openStream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	set := o.byService[s.request.service()]
	if set == nil {
		set = map[*openStream]struct{}{}
		o.byService[s.request.service()] = set
	}
	set[s] = struct{}{}
}

func (o *openStreams) remove(s *openStream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	set := o.byService[s.request.service()]
	delete(set, s)
	if len(set) == 0 {
		delete(o.byService, s.request.service())
	}
}

// of lists the streams of a Service.
func (o *openStreams) of(service types.NamespacedName) []*openStream {
	o.mu.Lock()
	defer o.mu.Unlock()
	return keys(o.byService[service], nil)
}

// all lists all streams.
func (o *openStreams) all() []*openStream {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []*openStream
	for _, set := range o.byService {
		out = keys(set, out)
	}
	return out
}

func keys(set map[*openStream]struct{}, out []*openStream) []*openStream {
	for s := range set {
		out = append(out, s)
	}
	return out
}

// review cuts those of the streams that would not be let in today, and says how many. It waits for no
// client.
func review(open []*openStream, j judge) (cut int) {
	granted := map[request]bool{} // most ask for the same as others
	for _, s := range open {
		still, known := granted[s.request]
		if !known {
			still = j.stillGranted(s.request)
			granted[s.request] = still
		}
		if !still {
			s.cut(&cutError{stream.ReasonWithdrawn})
			cut++
		}
	}
	return cut
}
