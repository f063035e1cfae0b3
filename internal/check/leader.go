package check

import (
	"fmt"
	"time"
)

func leaderElected(f Facts) []Finding {
	const text = "one controller leads"
	if problem := f.Lease.problem(text); problem != nil {
		return problem
	}
	const mend = "see the logs of the controller's pods"
	lease := f.Lease.Value
	switch {
	case lease == nil && len(controllers(f)) == 0:
		return good("no controller, and so no leader, is needed")
	case lease == nil:
		return []Finding{passing(text, "no Lease was taken in namespace "+f.Namespace+": no controller has become the leader yet", mend)}
	case lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "":
		return []Finding{passing(text, "the last leader gave the Lease back, and nobody has taken it", mend)}
	case lease.Spec.RenewTime == nil || lease.Spec.LeaseDurationSeconds == nil:
		return []Finding{bad(text, "the Lease does not say until when it holds", "delete Lease "+lease.Name+": a controller makes it again")}
	}
	ends := lease.Spec.RenewTime.Add(time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second)
	if over := f.Now.Sub(ends); over > clockTolerance {
		return []Finding{passing(text, fmt.Sprintf("the Lease of %s ran out %v ago", *lease.Spec.HolderIdentity, over.Truncate(time.Second)), mend)}
	}
	return good(text + " (" + *lease.Spec.HolderIdentity + ")")
}
