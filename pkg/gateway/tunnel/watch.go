package tunnel

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// unansweredLimit is for how long the other end may leave what we sent without an acknowledgement
	// before it counts as gone, instead of a quarter of an hour. TCP_USER_TIMEOUT (RFC 5482) will not do:
	// Linux then also ends connections whose receiver is there but takes nothing, as a download does
	// that its user has paused.
	unansweredLimit = 15 * time.Second
	// looksPerLimit is how often that is looked at.
	looksPerLimit = 3
)

// watch ends a connection whose other end is gone. It needs no goroutine while it waits.
type watch struct {
	raw   net.Conn
	abort func()
	limit time.Duration
	dead  atomic.Bool

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	silence silence
}

// newWatch makes a watch over a connection, which begins with start. It is nil where the system says
// nothing about the connection; all methods may be called then.
func newWatch(raw net.Conn, abort func(), limit time.Duration) *watch {
	if _, ok := sound(raw); !ok {
		return nil
	}
	return &watch{raw: raw, abort: abort, limit: limit, silence: silence{since: time.Now()}}
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
	heard, ok := sound(w.raw)
	switch {
	case !ok: // it was closed
	case w.silent(heard):
		w.dead.Store(true)
		w.abort()
	default:
		w.start()
	}
}

func (w *watch) silent(heard sounding) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.silence.lasted(time.Now(), heard) >= w.limit
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
	heard, ok := sound(w.raw)
	return !ok || heard.closed
}

// gaveUp says whether the watch ended the connection.
func (w *watch) gaveUp() bool { return w != nil && w.dead.Load() }

// sounding is what the system knows of the other end.
type sounding struct {
	// waiting is set when something was sent after the last acknowledgement.
	waiting bool
	// answered is for how long no acknowledgement has come.
	answered time.Duration
	// closed is set when there is no connection any more: we never end ours, so it was reset or has timed out.
	closed bool
}

// silence is for how long the other end has owed an answer.
type silence struct {
	// since is when it last owed none.
	since time.Time
}

// lasted takes a new sounding in. An acknowledgement that came since the last one counts even though
// something else waits by now.
func (s *silence) lasted(now time.Time, heard sounding) time.Duration {
	switch {
	case !heard.waiting:
		s.since = now
	case heard.answered < now.Sub(s.since):
		s.since = now.Add(-heard.answered)
	}
	return now.Sub(s.since)
}
