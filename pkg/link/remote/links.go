package remote

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// Links holds what is wanted of each Link, as last read and found valid. An edit that is not valid
// leaves the value before it in force (LESSON-55).
type Links struct {
	mu      sync.RWMutex
	entries map[link.Name]entry
}

// entry is a Link as its controller last saw it.
type entry struct {
	// link is the last valid value; usable says whether there was one that may be acted on.
	link   link.Link
	usable bool
	// refusal is why the Link as it stands now is not used, or nil.
	refusal *Failure
	// ignored are the annotations of the Link as it stands now that have no effect.
	ignored []*link.InvalidError
	// credentials is what the Secret is like.
	credentials credentials
}

// credentials is the state of a credentials Secret.
type credentials struct {
	failure     *Failure // nil when the Secret holds a kubeconfig that may be used
	fingerprint string   // of the kubeconfig, usable or not; empty without one
	expiry      time.Time
}

// newFault says whether something is wrong with the credentials that was not wrong with those before.
func (c credentials) newFault(before credentials) bool {
	if c.failure == nil {
		return false
	}
	return before.failure == nil || c.fingerprint != before.fingerprint || c.failure.Error() != before.failure.Error()
}

// NewLinks makes an empty set.
func NewLinks() *Links { return &Links{entries: map[link.Name]entry{}} }

// Get returns a Link that may be acted on.
func (l *Links) Get(name link.Name) (link.Link, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	e := l.entries[name]
	return e.link, e.usable
}

// ByCluster returns the Link that mirrors of a cluster belong to.
func (l *Links) ByCluster(cluster string) (link.Link, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, e := range l.entries {
		if e.usable && e.link.Cluster == cluster {
			return e.link, true
		}
	}
	return link.Link{}, false
}

// All returns every Link that may be acted on.
func (l *Links) All() []link.Link {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make([]link.Link, 0, len(l.entries))
	for _, e := range l.entries {
		if e.usable {
			out = append(out, e.link)
		}
	}
	return out
}

// names lists every Link that was seen, usable or not.
func (l *Links) names() []link.Name {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Collect(maps.Keys(l.entries))
}

func (l *Links) entry(name link.Name) (entry, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	e, ok := l.entries[name]
	return e, ok
}

func (l *Links) update(name link.Name, change func(*entry)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[name]
	change(&e)
	l.entries[name] = e
}

// parse reads a Link, in the light of the last valid value of the same object.
func (l *Links) parse(obj *v1alpha3.Link) (link.Link, error) {
	parsed, err := link.Parse(obj)
	if e, _ := l.entry(parsed.Name); err == nil && e.link.UID == parsed.UID {
		parsed = parsed.KeepClients(e.link)
	}
	return parsed, err //nolint:wrapcheck // the text is for the Link's condition
}

// setCredentials keeps what a Link's Secret is like, and says whether a new fault was found.
func (l *Links) setCredentials(name link.Name, c credentials) (newFault bool) {
	l.update(name, func(e *entry) {
		newFault = c.newFault(e.credentials)
		e.credentials = c
	})
	return newFault
}

func (l *Links) remove(name link.Name) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.entries, name)
}
