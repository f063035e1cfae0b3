package stream

import (
	"sync"
	"time"
)

// limiter lets a number of lines through in each second, and counts the others.
type limiter struct {
	most int

	mu         sync.Mutex
	second     time.Time // when the present second began
	passed     int       // in the present second
	suppressed int       // since the last line that passed
}

// allow says whether a line may pass, and how many did not since the last one that did.
func (l *limiter) allow(now time.Time) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.second) >= time.Second {
		l.second, l.passed = now, 0
	}
	if l.passed >= l.most {
		l.suppressed++
		return 0, false
	}
	l.passed++
	suppressed, l.suppressed = l.suppressed, 0
	return suppressed, true
}

// leftover gives, once, how many lines did not pass, when none has followed that could say so.
func (l *limiter) leftover(now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.second) < time.Second {
		return 0
	}
	n := l.suppressed
	l.suppressed = 0
	return n
}
