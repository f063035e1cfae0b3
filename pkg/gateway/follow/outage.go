package follow

import (
	"context"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// outage tells once of the beginning of an outage of one kind of request, and once of its end.
type outage struct {
	log      logr.Logger
	what     string
	failures prometheus.Counter
	lasts    atomic.Bool
}

func (f Follower) newOutage(resource, verb string) *outage {
	return &outage{
		log:      f.Log.WithValues("resource", resource, "verb", verb),
		what:     f.What,
		failures: f.Failures.WithLabelValues(resource, verb),
	}
}

// note takes the outcome of one request.
func (o *outage) note(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil, apierrors.IsResourceExpired(err), apierrors.IsGone(err):
		// We are ending, or asked for a time that the API server no longer remembers, and will list again.
	case err == nil:
		if o.lasts.Swap(false) {
			o.log.Info("Following " + o.what + " again")
		}
	case o.lasts.Swap(true):
		o.failures.Inc()
		o.log.V(1).Info("Failing to follow "+o.what, "cause", err.Error())
	default:
		o.failures.Inc()
		o.log.Error(err, "Failing to follow "+o.what+", which stay as they were last seen")
	}
}

// quiet is a logger for client-go that has no errors, only what happened, and that for debugging: what
// matters is told by outage, once.
func quiet(log logr.Logger) logr.Logger {
	if log.GetSink() == nil {
		return log
	}
	return log.V(1).WithSink(quietSink{log.GetSink()})
}

type quietSink struct{ logr.LogSink }

// Error implements logr.LogSink.
func (s quietSink) Error(err error, message string, keysAndValues ...any) {
	if s.Enabled(1) {
		s.Info(1, message, append(keysAndValues, "error", err)...)
	}
}

// WithValues implements logr.LogSink.
func (s quietSink) WithValues(keysAndValues ...any) logr.LogSink {
	return quietSink{s.LogSink.WithValues(keysAndValues...)}
}

// WithName implements logr.LogSink.
func (s quietSink) WithName(name string) logr.LogSink { return quietSink{s.LogSink.WithName(name)} }
