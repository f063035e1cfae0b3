package mirror

import (
	"sync"
	"time"

	"github.com/linkspan/linkspan/pkg/link"
)

// conflicts remembers mirror names that the API server told us are taken by somebody else's Service.
// Such Services are not in our cache, which holds mirrors only.
type conflicts struct {
	now func() time.Time

	mu    sync.Mutex
	until map[Key]time.Time
}

func newConflicts(now func() time.Time) *conflicts {
	return &conflicts{now: now, until: map[Key]time.Time{}}
}

// add remembers a conflict until it is time to look again.
func (c *conflicts) add(k Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until[k] = c.now().Add(conflictRetry)
}

func (c *conflicts) has(k Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, ok := c.until[k]
	if ok && !c.now().Before(until) {
		delete(c.until, k)
		return false
	}
	return ok
}

func (c *conflicts) forget(name link.Name) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.until {
		if k.Link == name {
			delete(c.until, k)
		}
	}
}
