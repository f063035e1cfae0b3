package mirror

import (
	"testing"
	"time"
)

// LESSON-8: a name that somebody else has is left alone, and looked at again from time to time.
func TestConflicts(t *testing.T) {
	t.Parallel()
	clock := newClock()
	c := newConflicts(clock.Now)
	web, other := keyNamed("web"), Key{Link: "west", Namespace: "shop", Name: "web"}
	if c.has(web) {
		t.Error("a conflict that nobody told of")
	}
	c.add(web)
	c.add(other)
	clock.advance(conflictRetry - time.Second)
	if !c.has(web) {
		t.Error("forgotten too soon")
	}
	clock.advance(time.Second)
	if c.has(web) {
		t.Error("remembered for longer than conflictRetry")
	}
	c.add(web)
	c.forget("west")
	if c.has(other) || !c.has(web) {
		t.Error("forgetting one Link forgets exactly its own conflicts")
	}
}
