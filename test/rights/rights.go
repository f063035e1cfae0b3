package rights

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
)

// Rights are the documented permissions of an account.
type Rights struct {
	// Everywhere holds in all namespaces, and for what has none.
	Everywhere []rbacv1.PolicyRule
	// AtHome holds in the namespace that the account lives in.
	AtHome []rbacv1.PolicyRule
}

const (
	core           = ""
	endpointSlices = "discovery.k8s.io"
	ours           = "multicluster.linkerd.io"
)

// Ingress is what `gateway ingress` needs in its own cluster.
func Ingress() Rights {
	return Rights{Everywhere: []rbacv1.PolicyRule{
		rule(core, "services", watch()), rule(endpointSlices, "endpointslices", watch()),
	}}
}

// Egress is what `gateway egress` needs in its own cluster.
func Egress() Rights {
	return Rights{
		Everywhere: []rbacv1.PolicyRule{rule(core, "services", watch()), rule(endpointSlices, "endpointslices", watch())},
		AtHome:     []rbacv1.PolicyRule{rule(ours, "links", watch())},
	}
}

// Remote is what a controller needs in the clusters that it links to.
func Remote() Rights {
	kubeSystem := rule(core, "namespaces", []string{"get"})
	kubeSystem.ResourceNames = []string{"kube-system"}
	return Rights{Everywhere: []rbacv1.PolicyRule{
		rule(core, "services", read()), rule(endpointSlices, "endpointslices", read()), kubeSystem,
	}}
}

// Controller is what `mirror controller` needs in its own cluster.
func Controller() Rights {
	all := append(read(), "create", "patch", "delete")
	return Rights{
		Everywhere: []rbacv1.PolicyRule{
			rule(core, "services", all), rule(endpointSlices, "endpointslices", slices.Clone(all)),
			rule(core, "endpoints", []string{"get", "delete"}),
			rule(core, "namespaces", read()),
			rule("events.k8s.io", "events", []string{"create", "patch"}),
		},
		AtHome: []rbacv1.PolicyRule{
			rule(ours, "links", append(read(), "patch")), rule(ours, "links/status", []string{"patch"}),
			rule(core, "secrets", read()),
			rule("coordination.k8s.io", "leases", []string{"get", "create", "update"}),
		},
	}
}

// Importing is what `mirror controller --import-namespaces` needs in place of that, and in each of the namespaces that it
// makes mirrors in. Of all others it reads the names.
func Importing() (may Rights, inEach []rbacv1.PolicyRule) {
	events := rule("events.k8s.io", "events", []string{"create", "patch"})
	whole := Controller()
	for _, one := range whole.Everywhere {
		if one.Resources[0] == "namespaces" {
			may.Everywhere = append(may.Everywhere, one)
		} else {
			inEach = append(inEach, one)
		}
	}
	// Events about Links, and the pods of the egress.
	may.AtHome = append(whole.AtHome, events, rule(endpointSlices, "endpointslices", read()))
	return may, inEach
}

// NamespaceCreator is what `mirror controller --create-namespaces` needs beside.
func NamespaceCreator() rbacv1.PolicyRule { return rule(core, "namespaces", []string{"create"}) }

func watch() []string { return []string{"list", "watch"} }

func read() []string { return []string{"get", "list", "watch"} }

func rule(group, resource string, verbs []string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
}
