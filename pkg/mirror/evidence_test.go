package mirror

import (
	"fmt"
	"testing"

	"github.com/linkspan/linkspan/pkg/link"
)

// A target that answers slowly must not keep the workers (LESSON-6), and whoever has to wait is told
// when it is its turn instead of asking again.
func TestTurnstile(t *testing.T) {
	t.Parallel()
	s := newTurnstile(2, 3)
	key := func(l string, n int) Key {
		k := keyNamed(fmt.Sprintf("web%d", n))
		k.Link = link.Name(l)
		return k
	}
	if !s.enter(key("east", 1)) || !s.enter(key("east", 2)) {
		t.Fatal("two of one Link may enter")
	}
	for _, n := range []int{3, 3, 4} {
		if s.enter(key("east", n)) {
			t.Error("a third of one Link entered")
		}
	}
	if !s.enter(key("west", 1)) {
		t.Error("one Link keeps another out")
	}
	if s.enter(key("north", 1)) {
		t.Error("more than three in all entered")
	}
	for i, want := range []Key{key("east", 3), key("east", 4)} {
		next, ok := s.leave(key("east", i+1))
		if !ok || next != want {
			t.Errorf("after %d left, %v (%v) is called, want %v, once each and in order", i+1, next, ok, want)
		}
	}
	if next, ok := s.leave(key("west", 1)); !ok || next != key("north", 1) {
		t.Errorf("when a Link has nobody waiting, another's turn comes: got %v (%v)", next, ok)
	}
	if len(s.inside) != 0 || s.total != 0 || len(s.waiting) != 0 || len(s.queued) != 0 {
		t.Errorf("everybody left, and the turnstile counts %+v", s)
	}
}
