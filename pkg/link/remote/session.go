package remote

import (
	"cmp"
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/linkspan/linkspan/pkg/link"
)

// Target is everything that a connection depends on.
type Target struct {
	Link        link.Link
	Credentials link.Credentials
	// Fingerprint tells one content of the credentials Secret from another.
	Fingerprint string
	// KnownUID is the identity recorded when the Link was first connected, or empty.
	KnownUID string
}

// key is equal for two targets that one connection can serve: edits of labels, of the gateway or of
// filters need no new connection (LESSON-58).
func (t Target) key() string {
	return t.Fingerprint + "|" + t.Link.Exported.String() + "|" + t.Link.RemoteDiscovery.String() + "|" + t.Link.AcceptTarget
}

// Report is what a session knows of its Link, for the conditions.
type Report struct {
	// Connected is true while a synced connection is in use.
	Connected bool
	// Failure is the last attempt's, or nil. With Connected it speaks of new credentials that do not
	// work while the previous ones still do.
	Failure *Failure
	// NewCredentials is true when Failure is of other credentials than those in use.
	NewCredentials bool
	// UID identifies the target once it has been connected.
	UID string
}

// session keeps one Link connected. Its goroutine alone touches connections; readers take the
// current one under the lock.
type session struct {
	owner *Connections
	name  link.Name
	wake  chan struct{}
	end   context.CancelFunc
	ended chan struct{}

	mu      sync.RWMutex
	target  Target
	current *Connection
	report  Report
	abandon context.CancelFunc // ends the attempt that is under way
}

func (s *session) set(t Target) {
	s.mu.Lock()
	same := s.target.key() == t.key()
	s.target = t
	if !same && s.abandon != nil {
		s.abandon() // first lists can take minutes, and nobody waits for these any more
	}
	s.mu.Unlock()
	if !same {
		s.nudge()
	}
}

// nudge makes the session look again.
func (s *session) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// attempt gives the life of one attempt at t: it ends when another target is wanted.
func (s *session) attempt(ctx context.Context, t Target) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abandon = cancel
	if s.target.key() != t.key() {
		cancel()
	}
	return ctx, cancel
}

// outdated says whether nobody asks any more what became of an attempt at t.
func (s *session) outdated(ctx context.Context, t Target) bool {
	return ctx.Err() != nil || s.wanted().key() != t.key()
}

func (s *session) wanted() Target {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.target
}

func (s *session) connection() *Connection {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.current
}

// identity is the cluster that the Link leads to, as far as that was ever known.
func (s *session) identity() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return cmp.Or(s.report.UID, s.target.KnownUID)
}

// run connects, and connects again whenever the connection is lost or the target changes, until ctx
// ends. An old connection serves until the new one is synced (LESSON-5).
func (s *session) run(ctx context.Context) {
	defer close(s.ended)
	defer s.leave()
	backoff := newBackoff()
	var since time.Time // when the current connection was made
	for ctx.Err() == nil {
		target, current := s.wanted(), s.connection()
		var pause time.Duration
		if current != nil && current.target.key() == target.key() {
			// Woken although nothing of ours changed: an older Link may have reached the same cluster, or
			// new credentials that did not work were taken back.
			if err := s.owner.checkIdentity(ctx, target, current.uid); err != nil {
				s.drop(classify("connecting", err))
				pause = s.pause(backoff)
			} else {
				s.content()
			}
		} else if next, err := s.owner.establish(ctx, s, target); err == nil {
			s.swap(next)
			since = time.Now()
		} else if s.outdated(ctx, target) {
			continue
		} else {
			s.failed(target, classify("connecting", err))
			pause = s.pause(backoff)
		}
		lost := s.await(ctx, pause)
		switch {
		case lost && time.Since(since) < lastingAfter:
			// It connects and fails at once, for example because it may list and not watch: no haste.
			s.await(ctx, s.pause(backoff))
		case lost:
			backoff = newBackoff()
		}
	}
}

// lastingAfter is how long a connection must have worked to be made again at once when it is lost.
const lastingAfter = 10 * time.Second

// The first retries come quickly, because most outages are a restart; the last ones every 15 s or so.
func newBackoff() *wait.Backoff {
	return &wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 1 << 20, Cap: 15 * time.Second}
}

func (s *session) pause(b *wait.Backoff) time.Duration {
	s.mu.RLock()
	permanent := s.report.Failure != nil && s.report.Failure.Permanent
	s.mu.RUnlock()
	if permanent {
		return wait.Jitter(time.Minute, 0.5)
	}
	return b.Step()
}

// await returns when there is something to do: the target changed, the pause is over, or the current
// connection is lost, which it says. Without a pause it waits as long as the connection works.
func (s *session) await(ctx context.Context, pause time.Duration) (lost bool) {
	var timeUp <-chan time.Time
	if pause > 0 {
		t := time.NewTimer(pause)
		defer t.Stop()
		timeUp = t.C
	}
	current := s.connection()
	if current == nil {
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timeUp:
		}
		return false
	}
	failure := s.watch(ctx, current, timeUp)
	if failure == nil {
		return false
	}
	s.drop(failure)
	return true
}

// watch follows a working connection and returns why it is lost, or nil when something else is to be done.
func (s *session) watch(ctx context.Context, c *Connection, timeUp <-chan time.Time) *Failure {
	for {
		// Looked at each time, and not only on a change: that may have come when nobody watched.
		left, failure := c.lost("watching")
		if failure != nil {
			return failure
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
			return nil
		case <-timeUp:
			return nil
		case failure = <-c.problems:
		case <-c.relisted:
			failure = verify(ctx, c)
		case <-c.client.health.Changed():
			failure = recovered(ctx, c)
		case <-time.After(left):
		}
		if failure != nil {
			return failure
		}
	}
}

// recovered looks at a connection whose health changed: whoever answers again after trouble may be another.
func recovered(ctx context.Context, c *Connection) *Failure {
	if c.client.health.Failing() != nil {
		return nil
	}
	return verify(ctx, c)
}

// verify makes sure that the same cluster still answers.
func verify(ctx context.Context, c *Connection) *Failure {
	checking, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := c.recheck(checking); err != nil && ctx.Err() == nil {
		return classify("checking which cluster answers at "+c.target.Credentials.Server, err)
	}
	return nil
}

func (s *session) failed(t Target, f *Failure) {
	s.mu.Lock()
	s.report.Failure = f
	s.report.NewCredentials = s.current != nil && s.current.target.Fingerprint != t.Fingerprint
	s.mu.Unlock()
	s.owner.attempted(s.name, f)
}

// content forgets the failure of a target that is wanted no more: the connection that there is serves.
func (s *session) content() {
	s.mu.Lock()
	failed := s.report.Failure != nil
	s.report.Failure, s.report.NewCredentials = nil, false
	s.mu.Unlock()
	if failed {
		s.owner.events.Attempt(s.name)
	}
}

// swap puts a synced connection in place and stops the one before it.
func (s *session) swap(next *Connection) {
	s.mu.Lock()
	old := s.current
	s.current = next
	s.report = Report{Connected: true, UID: string(next.uid)}
	s.mu.Unlock()
	next.live.Store(true)
	if old != nil {
		old.stop()
	}
	s.owner.attempted(s.name, nil)
	s.owner.wakeRivals(s.name, next.uid)
	s.owner.events.Link(s.name)
}

// drop throws the current connection away; from here on the target is Unknown.
func (s *session) drop(f *Failure) {
	s.mu.Lock()
	old := s.current
	s.current = nil
	if old != nil {
		s.report.Connected, s.report.NewCredentials = false, false
		s.report.Failure = f
	}
	s.mu.Unlock()
	if old == nil {
		return
	}
	old.stop()
	s.owner.attempted(s.name, f)
	s.owner.events.Link(s.name)
}

// leave stops the connection when the session ends, which is no news to whoever ended it.
func (s *session) leave() {
	s.mu.Lock()
	old := s.current
	s.current = nil
	s.mu.Unlock()
	if old != nil {
		old.stop()
	}
}
