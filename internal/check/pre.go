package check

import (
	"fmt"
	"strings"
)

func prePermissions(f Facts) []Finding {
	const text = "you may create what the chart creates"
	if problem := f.MayCreate.problem(text); problem != nil {
		return problem
	}
	if denied := deniedOf(f.MayCreate.Value); len(denied) > 0 {
		return []Finding{bad(text, "you may not "+list(denied), "install with an account that may, or leave out of the values what needs this")}
	}
	return good(fmt.Sprintf("%s (%d kinds)", text, len(f.MayCreate.Value)))
}

func preCRD(f Facts) []Finding {
	const text = "the type Link is absent or fits"
	if problem := f.LinkAPI.problem(text); problem != nil {
		return problem
	}
	api := f.LinkAPI.Value
	switch {
	case len(api.Versions) == 0:
		return good("the type Link is absent: install the chart linkspan-crds first")
	case !api.Current:
		return []Finding{warn(text, "an older one is installed, which serves "+strings.Join(api.Versions, ", "), "upgrade it with the chart linkspan-crds; existing Links stay as they are")}
	case api.Conditions == nil || !*api.Conditions:
		return []Finding{warn(text, "another one is installed, which may drop the conditions of Links", "replace it with the chart linkspan-crds, which keeps every field that Linkerd has")}
	}
	return good(text + " (" + strings.Join(api.Versions, ", ") + ")")
}

// preOthers is for information: a take-over is meant to work.
func preOthers(f Facts) []Finding {
	const text = "no other service mirror runs"
	if problem := f.OtherMirrors.problem(text); problem != nil {
		return problem
	}
	others := f.OtherMirrors.Value
	if len(others) == 0 {
		return good(text)
	}
	return good("other service mirrors run (" + list(others) + "): scale them to zero before Linkspan gets their Links; it takes their mirrors over as they are")
}

func preInstalled(f Facts) []Finding {
	const text = "Linkspan is not installed yet"
	if problem := f.Deployments.problem(text); problem != nil {
		return problem
	}
	if len(f.Deployments.Value) > 0 {
		return good("Linkspan is installed in namespace " + f.Namespace + " already: this would be an upgrade")
	}
	return good(text)
}
