package check

import (
	"fmt"
	"time"
)

func leaderElected(f Facts) []Finding {
	const text = "one controller leads"
	// A Lease outlives the controllers.
	if f.Deployments.Err == nil && len(controllers(f)) == 0 {
		return good("no controller, and so no leader, is needed")
	}
	if problem := f.Lease.problem(text); problem != nil {
		return problem
	}
	problem := leaderless(f, text)
	switch {
	case problem == nil:
		return good(text + " (" + *f.Lease.Value.Spec.HolderIdentity + ")")
	case f.Deployments.Err != nil:
		return []Finding{warn(text, problem.Cause+"; whether there is a controller could not be found out", "have somebody check who may "+f.Deployments.Right.String())}
	}
	return []Finding{*problem}
}

// leaderless is nil while somebody holds the Lease.
func leaderless(f Facts, text string) *Finding {
	const mend = "see the logs of the controller's pods"
	lease := f.Lease.Value
	var problem Finding
	switch {
	case lease == nil:
		problem = passing(text, "no Lease was taken in namespace "+f.Namespace+": no controller has become the leader yet", mend)
	case lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "":
		problem = passing(text, "the last leader gave the Lease back, and nobody has taken it", mend)
	case lease.Spec.RenewTime == nil || lease.Spec.LeaseDurationSeconds == nil:
		problem = bad(text, "the Lease does not say until when it holds", "delete Lease "+lease.Name+": a controller makes it again")
	default:
		ends := lease.Spec.RenewTime.Add(time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second)
		over := f.clock().Sub(ends)
		if over <= clockTolerance {
			return nil
		}
		problem = passing(text, fmt.Sprintf("the Lease of %s ran out %v ago", *lease.Spec.HolderIdentity, over.Truncate(time.Second)), mend)
	}
	return &problem
}
