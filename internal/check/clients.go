package check

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const (
	// anybody is the entry of an allow-list for whoever the trust anchors verify.
	anybody = "*"
	// The port of Linkerd's proxy that other clusters call, and its name.
	portGateway, portNameGateway = "4143", "linkerd-proxy"
	accessDeny                   = "deny"
)

// gatewayClients finds gateways that are open to whoever has a certificate, and those that refuse everybody (LESSON-36).
func gatewayClients(f Facts) []Finding {
	var findings []Finding
	for _, l := range f.AllowLists {
		findings = append(findings, listedClients(f, l))
	}
	for _, d := range f.Deployments.Value {
		if isProxyGateway(d) && d.Spec.Template.Annotations[annotationGateway] == "true" {
			findings = append(findings, meshedClients(f, d)...)
		}
	}
	return findings
}

func clientsText(workload string) string { return workload + ": clients that are named may call" }

func listedClients(f Facts, l AllowList) Finding {
	text := clientsText(l.Workload)
	if apierrors.IsNotFound(l.Entries.Err) {
		return passing(text, fmt.Sprintf("there is no ConfigMap %s in namespace %s", l.ConfigMap, f.Namespace),
			"install the chart again, which makes it of gateway.ingress.allowedClients")
	}
	if l.DryRun {
		return warn(text, "what allow-lists deny is only logged: whoever the trust anchors verify may call what is exported", "set gateway.ingress.allowedClientsDryRun=false")
	}
	if problem := l.Entries.problem(text); problem != nil {
		return problem[0]
	}
	switch {
	case len(l.Entries.Value) == 0:
		return warn(text, "there are none, and every call is refused", "name identities in gateway.ingress.allowedClients")
	case slices.Contains(l.Entries.Value, anybody):
		return warn(text, "the entry "+anybody+" lets in whoever the trust anchors verify, to every exported Service that has no list of its own",
			"name identities in gateway.ingress.allowedClients")
	}
	return Finding{Text: text}
}

// meshedClients judges a gateway that is Linkerd's proxy. Without a Server it lets in whoever has a certificate of the mesh.
func meshedClients(f Facts, d appsv1.Deployment) []Finding {
	text := clientsText(d.Name)
	if problem := f.Policies.problem(text); problem != nil {
		return problem
	}
	const open = "any client with a certificate of the mesh may call any service of this cluster"
	var closed []string
	for _, s := range f.Policies.Value.Servers {
		switch {
		case !guards(s, d):
		case s.AccessPolicy != "" && s.AccessPolicy != accessDeny:
			return []Finding{warn(text, fmt.Sprintf("Server %s has accessPolicy %s, for those whom no policy names", s.Name, s.AccessPolicy), "set its accessPolicy to "+accessDeny)}
		case hasPolicy(f, s):
			return good(text)
		default:
			closed = append(closed, s.Name)
		}
	}
	if len(closed) > 0 {
		return []Finding{warn(text, "no AuthorizationPolicy refers to Server "+list(closed)+", and every call is refused",
			"name identities in gateway.ingress.allowedClients, and networks in policy.clientNetworks")}
	}
	return []Finding{warn(text, "no Server of Linkerd's policies selects its port "+portGateway+": "+open,
		"set policy.linkerd.enabled=true, which holds clients to gateway.ingress.allowedClients")}
}

// guards is true for a Server of the gateway's port.
func guards(s PolicyServer, d appsv1.Deployment) bool {
	selector, err := metav1.LabelSelectorAsSelector(s.Pods)
	return err == nil && (s.Port == portGateway || s.Port == portNameGateway) && selector.Matches(labels.Set(d.Spec.Template.Labels))
}

// hasPolicy is true as well for a policy of the whole namespace.
func hasPolicy(f Facts, s PolicyServer) bool {
	return slices.ContainsFunc(f.Policies.Value.References, func(r Reference) bool {
		return r.Object == Object{Group: groupPolicy, Kind: kindServer, Name: s.Name} || r.Object == Object{Kind: kindNamespace, Name: f.Namespace}
	})
}
