package tunnel

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/socket"
)

// looksPerLimit is how often a watch looks in the time that it grants.
const looksPerLimit = 3

// watch ends a connection whose other end is gone. It needs no goroutine while it waits.
type watch struct {
	raw   net.Conn
	abort func()
	limit time.Duration
	dead  atomic.Bool

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	silence socket.Silence
}

// newWatch makes a watch over a connection, which begins with start. It is nil where the system says
// nothing about the connection; all methods may be called then.
func newWatch(raw net.Conn, abort func(), limit time.Duration) *watch {
	if _, ok := socket.Sound(raw); !ok {
		return nil
	}
	return &watch{raw: raw, abort: abort, limit: limit, silence: socket.NewSilence(time.Now())}
}

// start looks after a while, and again and again until stop is called.
func (w *watch) start() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.timer = time.AfterFunc(w.limit/looksPerLimit, w.look)
	}
}

func (w *watch) look() {
	heard, ok := socket.Sound(w.raw)
	switch {
	case !ok: // it was closed
	case w.silent(heard):
		w.dead.Store(true)
		w.abort()
	default:
		w.start()
	}
}

func (w *watch) silent(heard socket.Sounding) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.silence.Lasted(time.Now(), heard) >= w.limit
}

func (w *watch) stop() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// gone says whether the connection is no more, whoever ended it.
func (w *watch) gone() bool {
	if w == nil {
		return false
	}
	heard, ok := socket.Sound(w.raw)
	return !ok || heard.Closed
}

// gaveUp says whether the watch ended the connection.
func (w *watch) gaveUp() bool { return w != nil && w.dead.Load() }
