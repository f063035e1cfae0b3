package socket

import (
	"testing"
	"time"
)

// It goes by acknowledgements only: a receiver that takes nothing is there.
func TestSilenceIsCountedFromTheLastAnswer(t *testing.T) {
	start := time.Unix(1000, 0)
	type look struct {
		after    time.Duration
		waiting  bool
		answered time.Duration
		want     time.Duration
	}
	for name, looks := range map[string][]look{
		"nothing was sent":                       {{5, false, 100, 0}, {10, false, 105, 0}},
		"all is answered":                        {{5, false, 1, 0}, {100, false, 1, 0}},
		"something waits from the start":         {{5, true, 100, 5}, {10, true, 105, 10}, {15, true, 110, 15}},
		"something was sent after a long rest":   {{500, false, 500, 0}, {505, true, 505, 5}, {510, true, 510, 10}},
		"it is always waiting, always answered":  {{5, true, 0, 0}, {10, true, 1, 1}, {15, true, 0, 0}},
		"an answer came between two looks":       {{5, true, 5, 5}, {10, true, 2, 2}, {15, true, 7, 7}},
		"it begins to answer again":              {{5, true, 5, 5}, {10, true, 10, 10}, {15, false, 3, 0}, {20, true, 8, 5}},
		"a probe of a full window, asked rarely": {{5, false, 60, 0}, {10, true, 65, 5}, {15, false, 4, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSilence(start)
			for _, l := range looks {
				if got := s.Lasted(start.Add(l.after), Sounding{Waiting: l.waiting, Answered: l.answered}); got != l.want {
					t.Errorf("after %d it is %d, want %d", l.after, got, l.want)
				}
			}
		})
	}
}

// Whoever was frozen does not know what came meanwhile.
func TestSilenceThatNobodyListenedToDoesNotCount(t *testing.T) {
	start := time.Unix(1000, 0)
	s := NewSilence(start)
	owes := Sounding{Waiting: true, Answered: time.Hour}
	for _, look := range []struct{ after, want time.Duration }{
		{5 * time.Second, 5 * time.Second}, {time.Hour, 0}, {time.Hour + 5*time.Second, 5 * time.Second}, {time.Hour + 15*time.Second, 15 * time.Second},
	} {
		if got := s.Lasted(start.Add(look.after), owes); got != look.want {
			t.Errorf("after %v it is %v, want %v", look.after, got, look.want)
		}
	}
}
