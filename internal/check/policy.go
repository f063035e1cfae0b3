package check

import (
	"fmt"
	"slices"
)

const (
	groupPolicy   = "policy.linkerd.io"
	kindServer    = "Server"
	kindNamespace = "Namespace"
)

// isKnown is true for the kinds that observe looks for; of others nothing can be said.
func isKnown(o Object) bool {
	kinds := map[string][]string{
		groupPolicy: {kindServer, "HTTPRoute", "MeshTLSAuthentication", "NetworkAuthentication"},
		"":          {"ServiceAccount", kindNamespace},
	}
	return slices.Contains(kinds[o.Group], o.Kind)
}

func policyTargets(f Facts) []Finding {
	const text = "policies refer to what exists"
	if problem := f.Policies.problem(text); problem != nil {
		return problem
	}
	if !f.Policies.Value.Installed {
		return good("Linkerd's policy types are not installed: no policies to check")
	}
	var findings []Finding
	for _, ref := range f.Policies.Value.References {
		if !isKnown(ref.Object) || f.Policies.Value.Objects[ref.Object] {
			continue
		}
		findings = append(findings, warn(text, fmt.Sprintf("AuthorizationPolicy %s refers to %s %s, which namespace %s does not have", ref.Policy, ref.Kind, ref.Name, f.Namespace),
			"create it, or correct the reference: until then the policy allows nobody"))
	}
	if len(findings) > 0 {
		return findings
	}
	return good(text)
}
