package scenarios

import (
	"testing"
	"time"

	"github.com/linkspan/linkspan/test/app/traffic"
)

// Limits are a few times what was measured, which docs/high-availability.md tells: machines of continuous integration are slow.
const (
	// nodeIsLost is until nothing goes to a node that is gone: the 12 s after which Kubernetes misses it here, and the way from
	// there to everybody.
	nodeIsLost = 32 * time.Second
	// nodesAreBack is until nodes that were taken for lost are ready again, and their pods, and mirrors.
	nodesAreBack = 90 * time.Second
	// linkIsDead is until the Link of a cluster that is away says so.
	linkIsDead = 30 * time.Second
	// wayIsBack and powerIsBack are until calls succeed again.
	wayIsBack   = 10 * time.Second
	powerIsBack = 45 * time.Second
)

// expectWellWithin fails when votes failed, or did not succeed, for longer than a limit.
func expectWellWithin(t *testing.T, mark traffic.MarkReport, limit time.Duration) {
	t.Helper()
	last := 0.0
	if mark.LastFailure != nil {
		last = *mark.LastFailure
	}
	if max(last, mark.Gap) > limit.Seconds() {
		t.Errorf("%s: votes failed until %.1f s after it, and for %.1f s none succeeded; at most %s may pass: %v", mark.Name, last, mark.Gap, limit, mark.Failures)
	}
}
