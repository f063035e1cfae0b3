package mirror

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/link/remote"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
	"github.com/linkspan/linkspan/pkg/mirror/ports"
	"github.com/linkspan/linkspan/pkg/probe"
)

// Targets is what linked clusters say of their services.
type Targets interface {
	Observe(l link.Link, key remote.ServiceKey) (remote.Observation, error)
	Keys(l link.Link) []remote.ServiceKey
	ConfirmGone(ctx context.Context, l link.Link, key remote.ServiceKey) (bool, error)
}

// Gateways is what probing says of a Link's gateway.
type Gateways interface {
	Addresses(n link.Name) (addresses []probe.Address, resolved bool)
}

// Dependencies are what a Reconciler works with.
type Dependencies struct {
	Log     logr.Logger
	Client  client.Client
	Live    client.Reader
	Links   *remote.Links
	Targets Targets
	// Gateways says which addresses a Link's gateway has and how they are.
	Gateways Gateways
	// Egress is our egress in the local cluster.
	Egress  Egress
	Events  events.EventRecorder
	Metrics *Metrics
	// Elected is closed once this replica is the leader.
	Elected <-chan struct{}
	// Status is called when the report of a Link differs.
	Status func(link.Name)
	Now    func() time.Time
}

// Reconciler makes mirrors right, one key at a time.
type Reconciler struct {
	opts     Options
	log      logr.Logger
	client   client.Client
	live     client.Reader
	links    *remote.Links
	targets  Targets
	gateways Gateways
	egress   Egress
	events   events.EventRecorder
	metrics  *Metrics
	status   func(link.Name)
	elected  <-chan struct{}

	queue  queue
	locals *locals
	// indexed says whether locals holds every mirror that was there when we started.
	indexed    func() bool
	writes     *writes
	conflicts  *conflicts
	confirming *turnstile
	brake      *brake
	outcomes   *outcomes
	arrivals   *arrivals
	ports      *ports.Allocator
	meshes     *meshes
	// egressEpoch counts changes of the egress's pods.
	egressEpoch atomic.Uint64
}

// NewReconciler makes a Reconciler; SetupWithManager makes it run.
func NewReconciler(opts Options, d Dependencies) *Reconciler {
	r := &Reconciler{
		opts: opts, log: d.Log, client: d.Client, live: d.Live, links: d.Links, targets: d.Targets,
		gateways: d.Gateways, egress: d.Egress, events: d.Events, metrics: d.Metrics, status: d.Status,
		locals: newLocals(), indexed: func() bool { return false }, writes: newWrites(d.Now), conflicts: newConflicts(d.Now), confirming: newTurnstile(maxConfirming, maxConfirmingAll),
		brake: newBrake(d.Now, opts.MassDeletionHold), outcomes: newOutcomes(), arrivals: newArrivals(d.Now),
		elected: d.Elected, meshes: newMeshes(),
	}
	r.ports = ports.New(opts.ports, opts.MaxEgressPorts, opts.EgressPortHold, d.Now, r.portFreed)
	r.metrics.egressPorts.usage.Store(new(r.ports.Usage))
	r.queue.opened = func() {
		for _, l := range r.links.All() {
			r.LinkChanged(l.Name)
		}
	}
	return r
}

// Reconcile brings the mirror of one service in step with everything that is known of it.
func (r *Reconciler) Reconcile(ctx context.Context, k Key) (reconcile.Result, error) {
	l, ok := r.links.Get(k.Link)
	if !ok {
		return reconcile.Result{}, nil // its Link is gone or was refused: what it left behind is kept
	}
	epoch := r.egressEpoch.Load()
	in, err := r.observe(ctx, k, l)
	if errors.Is(err, errStale) {
		return reconcile.Result{RequeueAfter: staleRetry}, nil
	}
	var p plan.Plan
	writes := 0
	if err == nil {
		p, writes, err = r.carryOut(ctx, k, in)
	}
	by := wayOf(in, epoch)
	r.measure(k, in, p, writes, by, err)
	out, failing, result, err := verdict(p.Outcome, err)
	r.settle(ctx, k, in, p, out, failing)
	r.outcomes.went(k, by)
	result.RequeueAfter = r.again(k, out, result.RequeueAfter)
	return result, err
}

// again is when a service is looked at again, after its outcome is known to those who wake it: nothing
// does when a hold, or the rest of a port, is over.
func (r *Reconciler) again(k Key, out plan.Outcome, after time.Duration) time.Duration {
	if left, held := r.brake.left(k.Link); held && out.State == plan.StateKept {
		return left
	}
	if out.Reason != v1alpha3.ReasonEgressPortsExhausted {
		return after
	}
	if wait, ok := r.ports.Next(); ok {
		return min(after, max(wait, minBackoff))
	}
	return after
}

// carryOut computes a plan and applies it. When the mirror's name, or the last place for a mirror,
// turns out to be taken, the plan is computed once more with that knowledge.
func (r *Reconciler) carryOut(ctx context.Context, k Key, in plan.Input) (plan.Plan, int, error) {
	mirror := types.NamespacedName{Namespace: k.Namespace, Name: in.Link.MirrorName(k.Name)}
	p := plan.Compute(in)
	writes, err := r.apply(ctx, k, p, mirror)
	switch {
	case errors.Is(err, errTaken):
		in.Local.Foreign = true
	case errors.Is(err, errFull):
		in.Mirrors = r.opts.MaxMirrors
	default:
		return p, writes, err
	}
	p = plan.Compute(in)
	more, err := r.apply(ctx, k, p, mirror)
	return p, writes + more, err
}

// settle records and tells what became of the service.
func (r *Reconciler) settle(ctx context.Context, k Key, in plan.Input, p plan.Plan, out plan.Outcome, failing bool) {
	if out.State == plan.StateWaiting && out.Reason == v1alpha3.ReasonConfirming {
		return // a step on the way, not an outcome
	}
	before, changed := r.outcomes.set(k, out, failing)
	r.tell(ctx, k, in, p, out, failing)
	if !changed {
		return
	}
	r.metrics.moved(in.Link.Cluster, before, out)
	r.status(k.Link)
}

func (r *Reconciler) measure(k Key, in plan.Input, p plan.Plan, writes int, by way, err error) {
	if err != nil {
		return // the change is still to be answered
	}
	took, seen := r.arrivals.take(k)
	if writes == 0 {
		return
	}
	cluster := in.Link.Cluster
	r.metrics.writes.WithLabelValues(cluster).Add(float64(writes))
	if seen {
		r.metrics.propagation.WithLabelValues(cluster).Observe(took.Seconds())
	} else if r.outcomes.goes(k, by) && in.Local.Service != nil && p.Service == nil && len(p.Slices) > 0 && in.Remote.State == plan.Present && !r.outcomes.differs(k, p.Outcome) {
		r.metrics.repairs.WithLabelValues(cluster).Inc()
	}
}

// Report sums up a Link's services for its status.
func (r *Reconciler) Report(name link.Name) remote.MirrorReport {
	l, ok := r.links.Get(name)
	if !ok {
		return remote.MirrorReport{}
	}
	exported := r.targets.Keys(l)
	if exported != nil && r.indexed() {
		r.brake.review(l, func() ([]remote.ServiceKey, int) { return r.missing(l) })
	}
	report := r.outcomes.report(l, exported, exported != nil)
	report.Held = r.brake.held(name)
	r.metrics.braked(l.Cluster, report.Held != nil)
	return report
}

// ResumeHold takes over a mass deletion that was held before this process, or this leader, since a
// time; zero when none was. The brake then counts from that time, and a restart does not start it anew.
func (r *Reconciler) ResumeHold(name link.Name, since time.Time) { r.brake.resume(name, since) }

// Forget drops everything that is remembered of a Link that is gone.
func (r *Reconciler) Forget(l link.Link) {
	r.outcomes.forget(l.Name)
	r.conflicts.forget(l.Name)
	r.arrivals.forget(l.Name)
	r.brake.forget(l.Name)
	r.ports.ReleaseUnseen(l.Cluster)
	r.writes.sweep()
	r.metrics.forget(l.Cluster)
}
