package ingress

import (
	"container/list"
	"sync"
	"time"
)

// limits counts what is open, in all and for each client.
type limits struct {
	all, each int

	mu      sync.Mutex
	open    int
	clients map[string]int
}

func newLimits(all, each int) *limits {
	return &limits{all: all, each: each, clients: map[string]int{}}
}

// verdict is what a limit says.
type verdict int

const (
	admitted verdict = iota
	full
	clientFull
	strangersFull
)

// take takes a place for a client, to be given back by leave if it is admitted.
func (l *limits) take(client string) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.open >= l.all:
		return full
	case l.clients[client] >= l.each:
		return clientFull
	}
	l.open++
	l.clients[client]++
	return admitted
}

func (l *limits) leave(client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.clients[client]--; l.clients[client] == 0 {
		delete(l.clients, client) // clients come and go: only those that are here cost memory
	}
}

// handshakeGrace is how long a handshake is left alone when others wait for its place: several times what
// it takes around the world.
const handshakeGrace = time.Second

// handshakes are those under way. When there are as many as there may be, one that has had its grace gives way to a
// new one: else a few clients that connect and say nothing would keep everybody out.
type handshakes struct {
	most  int
	grace time.Duration

	mu sync.Mutex
	// running are of type handshake, the oldest first.
	running list.List
}

type handshake struct {
	since   time.Time
	giveWay func()
}

// begin takes a place, to be given back by end. It is nil when there is none. giveWay is called at most
// once, when the place is needed; it must not wait.
func (h *handshakes) begin(now time.Time, giveWay func()) *list.Element {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running.Len() >= h.most {
		oldest, ok := h.running.Front().Value.(handshake)
		if !ok || now.Sub(oldest.since) < h.grace {
			return nil
		}
		h.running.Remove(h.running.Front())
		oldest.giveWay()
	}
	return h.running.PushBack(handshake{since: now, giveWay: giveWay})
}

// end gives a place back, if it was not taken away.
func (h *handshakes) end(place *list.Element) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running.Remove(place)
}

// onceASecond keeps what repeats from flooding the log (LOG-4).
type onceASecond struct {
	mu   sync.Mutex
	last time.Time
	left int
}

// allow says whether a line may be written now, and how many were not since the last one.
func (o *onceASecond) allow(now time.Time) (left int, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.last) < time.Second {
		o.left++
		return 0, false
	}
	left, o.left, o.last = o.left, 0, now
	return left, true
}
