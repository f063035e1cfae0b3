package mirror

import (
	"sync"
	"time"

	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/link/remote"
)

// A fresh list that lacks more than half of a Link's mirrors, and at least so many, is not believed at once.
const brakeAtLeast = 10

// brakeCount is how long a count of missing mirrors is used before it is made again.
const brakeCount = time.Second

// brake holds mass deletions: a target whose services are suddenly gone has more often lost its data,
// or our access to it, than its services (LESSON-28). Only services found missing from a list count;
// one that was seen to be deleted is deleted.
type brake struct {
	now  func() time.Time
	hold time.Duration // after this long a held deletion is let go; 0 means never

	mu    sync.Mutex
	links map[link.Name]*braking
}

// braking is the state of one Link: counted is the last count, since is zero while nothing is held,
// released stays true until the wave of deletions that was let go is over.
type braking struct {
	counted        time.Time
	missing, total int
	since          time.Time
	released       bool
}

func newBrake(now func() time.Time, hold time.Duration) *brake {
	return &brake{now: now, hold: hold, links: map[link.Name]*braking{}}
}

// holds says whether the deletion of a mirror that is missing from a fresh list must wait. count
// counts the Link's mirrors, and how many of them the target no longer has.
func (b *brake) holds(l link.Link, count func() (missing, total int)) bool {
	now := b.now()
	b.mu.Lock()
	s := b.links[l.Name]
	if s == nil {
		s = &braking{}
		b.links[l.Name] = s
	}
	fresh := now.Sub(s.counted) < brakeCount
	b.mu.Unlock()

	var missing, total int
	if !fresh {
		missing, total = count() // reads other indexes, so not under our lock
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !fresh {
		s.counted, s.missing, s.total = now, missing, total
	}
	s.decide(now, l, b.hold)
	return !s.since.IsZero()
}

func (s *braking) decide(now time.Time, l link.Link, hold time.Duration) {
	mass := s.missing >= brakeAtLeast && 2*s.missing > s.total
	switch {
	case !mass && s.released && s.missing > 0:
		// The rest of a wave that was let go.
	case !mass:
		s.since, s.released = time.Time{}, false
	case s.released:
	case s.since.IsZero():
		s.since = now
	}
	overdue := hold > 0 && !s.since.IsZero() && now.Sub(s.since) >= hold
	allowed := !s.since.IsZero() && !l.ReleaseMassDeletion.IsZero() && !l.ReleaseMassDeletion.Before(s.since.Truncate(time.Second))
	if overdue || allowed {
		s.since, s.released = time.Time{}, true
	}
}

// held reports a held deletion, or nil.
func (b *brake) held(name link.Name) *remote.HeldDeletion {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.links[name]
	if s == nil || s.since.IsZero() {
		return nil
	}
	h := &remote.HeldDeletion{Missing: s.missing, Total: s.total, Since: s.since}
	if b.hold > 0 {
		h.Until = s.since.Add(b.hold)
	}
	return h
}

// resume takes over a hold that an earlier process reported, so that a restart does not start its time anew.
func (b *brake) resume(name link.Name, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.links[name] == nil {
		b.links[name] = &braking{since: since}
	}
}

func (b *brake) forget(name link.Name) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.links, name)
}
