package remote

import (
	"cmp"
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// checkIdentity refuses a target that is our own cluster, another Link's, or not the one that the
// Link was first connected to (LINK-8, LESSON-28).
func (c *Connections) checkIdentity(ctx context.Context, t Target, uid types.UID) error {
	if uid == "" {
		return nil
	}
	own, err := c.localUID(ctx)
	if err != nil {
		return fmt.Errorf("reading the identity of this cluster: %w", err)
	}
	if own == uid {
		return &Failure{
			Reason: v1alpha3.ReasonTargetIsSelf, Permanent: true,
			Err: fmt.Errorf("the credentials lead to this very cluster: put the kubeconfig of the other cluster in Secret %s", t.Link.CredentialsSecret),
		}
	}
	if other := c.olderWith(t.Link, uid); other != "" {
		return &Failure{
			Reason: v1alpha3.ReasonTargetIsDuplicate, Permanent: true,
			Err: fmt.Errorf("the Link %s leads to the same cluster already: delete one of the two", other),
		}
	}
	if t.KnownUID != "" && t.KnownUID != string(uid) && t.Link.AcceptTarget != string(uid) {
		return &Failure{
			Reason: v1alpha3.ReasonTargetChanged, Permanent: true,
			Err: fmt.Errorf("the credentials lead to another cluster (kube-system UID %s) than before (%s): if that is meant, annotate the Link with %s=%s",
				uid, t.KnownUID, v1alpha3.AnnotationAcceptTarget, uid),
		}
	}
	return nil
}

// olderWith returns an older Link that leads to the cluster uid, or "": connected to it, or known from
// before to lead there, whether it is set yet or not. The order is that of creation, so that restarts cannot swap the winner.
func (c *Connections) olderWith(l link.Link, uid types.UID) link.Name {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for name, s := range c.sessions {
		if name == l.Name {
			continue
		}
		if s.identity() == string(uid) && older(s.wanted().Link, l) {
			return name
		}
	}
	for name, r := range c.recorded {
		// A session knows better where its Link leads.
		if _, set := c.sessions[name]; !set && name != l.Name && r.UID == string(uid) && older(r.Link, l) {
			return name
		}
	}
	return ""
}

// Recorded is the target that a Link's status says it was connected to.
type Recorded struct {
	// Link has a name and a time of creation.
	Link link.Link
	UID  string
}

// Record says which targets all Links were connected to, so that a younger Link that is quicker after
// a restart does not take the cluster of one that is still to be set.
func (c *Connections) Record(recorded map[link.Name]Recorded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recorded = recorded
}

// wakeRivals lets other Links find out who may stay: those that are connected to the cluster that
// this Link has reached, and those that were refused because of another Link, which may be gone.
func (c *Connections) wakeRivals(name link.Name, uid types.UID) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for other, s := range c.sessions {
		s.mu.RLock()
		same := uid != "" && s.report.UID == string(uid)
		refused := s.report.Failure != nil && s.report.Failure.Reason == v1alpha3.ReasonTargetIsDuplicate
		s.mu.RUnlock()
		if other != name && (same || refused) {
			s.nudge()
		}
	}
}

func older(a, b link.Link) bool {
	if c := a.Created.Compare(b.Created); c != 0 {
		return c < 0
	}
	return cmp.Less(a.Name, b.Name)
}

func recordedTargets(links []v1alpha3.Link) map[link.Name]Recorded {
	out := map[link.Name]Recorded{}
	for i := range links {
		l := &links[i]
		if l.Status.Target != nil && l.DeletionTimestamp.IsZero() {
			name := link.Name(l.Name)
			out[name] = Recorded{Link: link.Link{Name: name, Created: l.CreationTimestamp.Time}, UID: l.Status.Target.UID}
		}
	}
	return out
}
