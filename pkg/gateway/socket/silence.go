package socket

import (
	"fmt"
	"syscall"
	"time"
)

// Patience is for how long the other end may leave what we sent without an acknowledgement before it counts as gone,
// instead of a quarter of an hour. TCP_USER_TIMEOUT (RFC 5482) will not do: Linux then also ends connections whose
// receiver is there but takes nothing, as a download does that its user has paused.
const Patience = 15 * time.Second

// ErrUnanswered is the error that Linux gives when it stops waiting itself.
var ErrUnanswered = fmt.Errorf("the other end has not answered for %v: %w", Patience, syscall.ETIMEDOUT)

// Sounding is what the system knows of the other end.
type Sounding struct {
	// Waiting is set when something was sent after the last acknowledgement.
	Waiting bool
	// Answered is for how long no acknowledgement has come.
	Answered time.Duration
	// Closed is set when there is no connection any more. If our direction was not ended, it was reset or has timed out.
	Closed bool
	// Owed is set while something is not acknowledged, or not even sent.
	Owed bool
	// Acked is how many bytes the other end has acknowledged.
	Acked uint64
}

// Silence is for how long the other end has owed an answer. NewSilence makes one.
type Silence struct {
	// since is when it last owed none, as far as was seen; looked is when the last sounding was taken in.
	since, looked time.Time
}

// NewSilence begins at a time.
func NewSilence(now time.Time) Silence { return Silence{since: now, looked: now} }

// Lasted takes a new sounding in. An acknowledgement that came since the last one counts even though something else
// waits by now. Soundings should be less than Patience apart: of a longer time, as after a process was frozen, nothing
// is known, and the silence begins anew.
func (s *Silence) Lasted(now time.Time, heard Sounding) time.Duration {
	blind := now.Sub(s.looked) >= Patience
	s.looked = now
	switch {
	case !heard.Waiting || blind:
		s.since = now
	case heard.Answered < now.Sub(s.since):
		s.since = now.Add(-heard.Answered)
	}
	return now.Sub(s.since)
}
