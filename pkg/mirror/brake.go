package mirror

import (
	"sync"
	"time"

	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/link/remote"
)

// A fresh list that lacks more than half of a Link's mirrors, and at least so many, is not believed at once.
const brakeAtLeast = 10

// brakeCount is how long a count is used again while it holds deletions. A count that lets a deletion
// pass is used once: the next mirror may be the one too many.
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

// braking is the state of one Link: missing and total are of the last count, since is zero while
// nothing is held.
type braking struct {
	counted time.Time
	missing []remote.ServiceKey
	total   int
	since   time.Time
	// released are the mirrors that were let go, each until its service is seen again. They count no
	// more, so that the next wave is held like the first.
	released map[remote.ServiceKey]struct{}
}

// count lists the mirrors of a Link that its target no longer has, and says how many mirrors there are.
type count func() (missing []remote.ServiceKey, total int)

func newBrake(now func() time.Time, hold time.Duration) *brake {
	return &brake{now: now, hold: hold, links: map[link.Name]*braking{}}
}

// holds says whether the deletion of the mirror of key, which is missing from a fresh list, must wait.
func (b *brake) holds(l link.Link, key remote.ServiceKey, again count) bool {
	now := b.now()
	b.mu.Lock()
	s := b.of(l.Name)
	_, released := s.released[key]
	fresh := !s.since.IsZero() && now.Sub(s.counted) < brakeCount
	missing, total := s.missing, s.total
	b.mu.Unlock()
	if released {
		return false
	}
	if !fresh {
		missing, total = again() // reads other indexes, so not under our lock
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !fresh {
		s.counted, s.missing, s.total = now, missing, total
	}
	s.decide(now, l, b.hold)
	return !s.since.IsZero()
}

// review ends a hold whose services have come back, which no deletion asks about any more.
func (b *brake) review(l link.Link, again count) {
	now := b.now()
	b.mu.Lock()
	s := b.links[l.Name]
	held := s != nil && !s.since.IsZero()
	b.mu.Unlock()
	if !held {
		return
	}
	missing, total := again()
	b.mu.Lock()
	defer b.mu.Unlock()
	s.counted, s.missing, s.total = now, missing, total
	s.decide(now, l, b.hold)
}

// present takes a service that is there again out of what was let go.
func (b *brake) present(name link.Name, key remote.ServiceKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.links[name]; s != nil {
		delete(s.released, key)
	}
}

// of finds or makes the state of a Link; the lock is held.
func (b *brake) of(name link.Name) *braking {
	s := b.links[name]
	if s == nil {
		s = &braking{}
		b.links[name] = s
	}
	return s
}

func (s *braking) decide(now time.Time, l link.Link, hold time.Duration) {
	missing, going := 0, map[remote.ServiceKey]struct{}{}
	for _, key := range s.missing {
		if _, ok := s.released[key]; ok {
			going[key] = struct{}{}
		} else {
			missing++
		}
	}
	s.released = going
	switch mass := missing >= brakeAtLeast && 2*missing > s.total-len(going); {
	case !mass:
		s.since = time.Time{}
		return
	case s.since.IsZero():
		s.since = now
	}
	overdue := hold > 0 && now.Sub(s.since) >= hold
	allowed := !l.ReleaseMassDeletion.IsZero() && !l.ReleaseMassDeletion.Before(s.since.Truncate(time.Second))
	if !overdue && !allowed {
		return
	}
	s.since = time.Time{}
	for _, key := range s.missing {
		s.released[key] = struct{}{}
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
	h := &remote.HeldDeletion{Missing: len(s.missing), Total: s.total, Since: s.since}
	if b.hold > 0 {
		h.Until = s.since.Add(b.hold)
	}
	return h
}

// left is how long a held deletion is held yet; ok is false when nothing is held, or held for ever.
func (b *brake) left(name link.Name) (left time.Duration, ok bool) {
	h := b.held(name)
	if h == nil || h.Until.IsZero() {
		return 0, false
	}
	return max(h.Until.Sub(b.now()), brakeCount), true
}

// resume takes over what an earlier process, or the leader before us, reported of a Link: held since
// then, or not held when since is zero. What we found out ourselves counts more.
func (b *brake) resume(name link.Name, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.of(name); s.counted.IsZero() {
		s.since = since
	}
}

func (b *brake) forget(name link.Name) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.links, name)
}
