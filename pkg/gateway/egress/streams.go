package egress

import (
	"context"
	"net/netip"
	"sync"

	"github.com/linkspan/linkspan/pkg/gateway/pipe"
)

// streams knows the streams that are open, whose clients they are, and how many there may be.
type streams struct {
	most, mostOfClient int
	// running has the goroutine of each.
	running sync.WaitGroup

	mu    sync.Mutex
	count int
	// clients has how many each address has open.
	clients map[netip.Addr]int
	open    map[Target]map[*open]struct{}
	// idle are closed, and forgotten, when no stream is open.
	idle []chan struct{}
}

// open is one stream.
type open struct {
	target Target
	client netip.Addr
	cancel context.CancelFunc

	mu sync.Mutex
	// ends are what is aborted to cut it; none while the gateway is being dialed.
	ends []pipe.Stream
	// cause is why it was cut, empty while it was not.
	cause Reason
}

func newStreams(most, mostOfClient int) *streams {
	return &streams{
		most: most, mostOfClient: mostOfClient, clients: map[netip.Addr]int{}, open: map[Target]map[*open]struct{}{},
	}
}

// begin makes room for a stream, and says why where there is none. Each needs one call of end. cancel ends
// what the stream does before it has ends.
func (s *streams) begin(target Target, client netip.Addr, cancel context.CancelFunc) (o *open, full Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.count >= s.most:
		return nil, ReasonFull
	case s.clients[client] >= s.mostOfClient:
		return nil, ReasonClientFull
	}
	o = &open{target: target, client: client, cancel: cancel}
	if s.open[target] == nil {
		s.open[target] = map[*open]struct{}{}
	}
	s.open[target][o] = struct{}{}
	s.count++
	s.clients[client]++
	return o, ""
}

func (s *streams) end(o *open) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open[o.target], o)
	if len(s.open[o.target]) == 0 {
		delete(s.open, o.target)
	}
	if s.clients[o.client]--; s.clients[o.client] == 0 {
		delete(s.clients, o.client)
	}
	s.count--
	if s.count == 0 {
		for _, waiting := range s.idle {
			close(waiting)
		}
		s.idle = nil
	}
}

// whenIdle gives a channel that is closed once no stream is open.
func (s *streams) whenIdle() <-chan struct{} {
	idle := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == 0 {
		close(idle)
	} else {
		s.idle = append(s.idle, idle)
	}
	return idle
}

// cut cuts the streams of all targets that serves says no to, and counts those that were not cut before.
func (s *streams) cut(cause Reason, serves func(Target) bool) (n int) {
	for _, target := range s.targets() {
		if serves(target) {
			continue
		}
		for _, o := range s.of(target) {
			if o.cut(cause) {
				n++
			}
		}
	}
	return n
}

func (s *streams) targets() []Target {
	s.mu.Lock()
	defer s.mu.Unlock()
	targets := make([]Target, 0, len(s.open))
	for target := range s.open {
		targets = append(targets, target)
	}
	return targets
}

func (s *streams) of(target Target) []*open {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*open, 0, len(s.open[target]))
	for o := range s.open[target] {
		all = append(all, o)
	}
	return all
}

// cut ends a stream in a way that both ends can tell from an end. Only the first cause counts; it says whether this
// is the first.
func (o *open) cut(cause Reason) (first bool) {
	o.mu.Lock()
	if first = o.cause == ""; first {
		o.cause = cause
	}
	ends := o.ends
	o.mu.Unlock()
	o.cancel()
	for _, end := range ends {
		end.Abort()
	}
	return first
}

// attach gives a stream its ends, unless it has been cut.
func (o *open) attach(ends ...pipe.Stream) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ends = ends
	return o.cause == ""
}

func (o *open) cutFor() Reason {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cause
}
