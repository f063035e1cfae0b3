package check

import (
	"fmt"
	"strings"
)

func prePermissions(f Facts) []Finding {
	const text = "you may apply what the chart renders"
	if problem := f.MayInstall.problem(text); problem != nil {
		return problem
	}
	var needed, optional, helms []Grant
	for _, g := range f.MayInstall.Value {
		switch {
		case isHelms(g.Right):
			helms = append(helms, g)
		case isOptional(g.Right):
			optional = append(optional, g)
		default:
			needed = append(needed, g)
		}
	}
	var findings []Finding
	if denied := deniedOf(needed); len(denied) > 0 {
		findings = append(findings, bad(text, "you may not "+list(denied), "install with an account that may, or leave out of the values what needs this"))
	}
	if denied := deniedOf(optional); len(denied) > 0 {
		findings = append(findings, warn(text, "you may not "+list(denied)+", which few values ask for", "install with an account that may, or without what needs this"))
	}
	if denied := deniedOf(helms); len(denied) > 0 {
		findings = append(findings, warn(text, "you may not "+list(denied)+", where Helm keeps its releases", "install with an account that may, or without Helm: `mirror install | kubectl apply -f -`"))
	}
	if len(findings) > 0 {
		return findings
	}
	return good(fmt.Sprintf("%s (%d permissions)", text, len(f.MayInstall.Value)))
}

// isHelms is true for what nothing that is rendered needs, and Helm does.
func isHelms(r Right) bool {
	return r.Group == "" && r.Resource == "secrets" && (r.Verb == "list" || r.Verb == "update" || r.Verb == "delete")
}

// isOptional is true for kinds that are rendered where values ask for them.
func isOptional(r Right) bool {
	switch r.Group {
	case "cert-manager.io", "policy.linkerd.io", "monitoring.coreos.com", "autoscaling", "policy", "networking.k8s.io":
		return true
	}
	return false
}

// preEscalation asks what an API server asks of who makes Roles and binds them.
func preEscalation(f Facts) []Finding {
	const text = "you may grant what the chart's Roles hold"
	if problem := f.MayGrant.problem(text); problem != nil {
		return problem
	}
	if len(deniedOf(f.MayGrant.Value.Leave)) == 0 {
		return good(text)
	}
	if denied := deniedOf(f.MayGrant.Value.Held); len(denied) > 0 {
		return []Finding{bad(text, "you do not hold "+list(denied)+", nor may you escalate and bind Roles and ClusterRoles",
			"install with an account that may, or set rbac.create=false and have somebody else apply the Roles")}
	}
	if denied := deniedOf(f.MayGrant.Value.Linkerd); len(denied) > 0 {
		return []Finding{warn(text, "you do not hold "+list(denied)+", which remoteAccess.accounts grants with linkerd, nor may you escalate and bind Roles and ClusterRoles",
			"install with an account that may, or without linkerd in remoteAccess.accounts")}
	}
	return good(text + ": you hold it yourself")
}

// preLoadBalancer can only learn from Services that there are.
func preLoadBalancer(f Facts) []Finding {
	const text, mend = "Services get addresses from a load balancer", "see their events; without load balancers set gateway.ingress.service.type=NodePort"
	if problem := f.LoadBalancers.problem(text); problem != nil {
		return problem
	}
	switch have := f.LoadBalancers.Value; {
	case have.WithAddress > 0:
		return good(fmt.Sprintf("%s (%d have one)", text, have.WithAddress))
	case have.All > 0:
		return []Finding{warn(text, fmt.Sprintf("none of %d Services of type LoadBalancer has one", have.All), mend)}
	}
	return good("no Service shows whether this cluster has load balancers: a gateway needs one, or gateway.ingress.service.type=NodePort")
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
	case api.Conditions == nil:
		return []Finding{warn(text, schemaUnknown, "compare the CustomResourceDefinition with the chart linkspan-crds")}
	case !*api.Conditions:
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
