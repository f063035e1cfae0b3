package plan

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// obstacle is why a service is not mirrored as it asks to be, and what mends it.
type obstacle struct {
	state   State
	reason  string
	message string
}

func refused(reason, format string, args ...any) *obstacle {
	return &obstacle{state: StateRefused, reason: reason, message: fmt.Sprintf(format, args...)}
}

func waiting(reason, format string, args ...any) *obstacle {
	return &obstacle{state: StateWaiting, reason: reason, message: fmt.Sprintf(format, args...)}
}

// obstacle finds the first thing in the way. What only the user can mend comes before what passes by
// itself, so that no namespace is made for a service that is refused.
func (p *pass) obstacle() *obstacle {
	if reason, message := Refusal(p.in.Link, p.in.Remote.Service); reason != "" {
		return refused(reason, "%s", message)
	}
	for _, check := range []func() *obstacle{p.refusedName, p.refusedPlace, p.gatewayUnverifiable, p.namespaceState, p.refusedCount, p.egressExhausted} {
		if o := check(); o != nil {
			return o
		}
	}
	return nil
}

// Refusal says why a remote Service cannot be mirrored over a Link, whatever the local cluster looks
// like, in one of the reasons of api/v1alpha3 and a message that names the mend. Both are empty when
// it can, and when the Link does not select it (LESSON-54, LESSON-56, MIR-3).
func Refusal(l link.Link, svc *corev1.Service) (reason, message string) {
	mode := l.Mode(svc.Labels)
	switch {
	case mode == link.ModeNone:
		return "", ""
	case link.StandsForRemote(svc):
		return v1alpha3.ReasonMirrorOfMirror, "the Service is itself a mirror or a federated service: " +
			"export the Service that it stands for, from the cluster where that lives"
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		return v1alpha3.ReasonExternalName, "the Service is of type ExternalName, a DNS alias without endpoints: " +
			"export a Service of type ClusterIP, with EndpointSlices of your own if it has no selector"
	case svc.Spec.ClusterIP == corev1.ClusterIPNone:
		return v1alpha3.ReasonHeadlessUnsupported, "the Service is headless (clusterIP None), which cannot be mirrored yet: " +
			"export a Service with a cluster IP in front of the same pods"
	case len(svc.Spec.Ports) == 0:
		return v1alpha3.ReasonNoPorts, "the Service has no ports: add at least one to spec.ports"
	}
	if reason, message = refusedPorts(svc.Spec.Ports); reason != "" || mode != link.ModeGateway {
		return reason, message
	}
	if l.Gateway == nil {
		return v1alpha3.ReasonGatewayMissing, fmt.Sprintf("the Service asks for the gateway (%s=%s) but Link %s has none: "+
			"set gatewayAddress and gatewayPort in the Link, or export with the value %s if pods can reach each other",
			v1alpha3.LabelExported, v1alpha3.ExportedGateway, l.Name, v1alpha3.ExportedRemoteDiscovery)
	}
	return refusedProtocol(svc)
}

func refusedProtocol(svc *corev1.Service) (reason, message string) {
	for _, port := range svc.Spec.Ports {
		if protocol := protocolOf(port.Protocol); protocol != corev1.ProtocolTCP {
			return v1alpha3.ReasonProtocolUnsupported, fmt.Sprintf("port %d is %s, and a gateway carries TCP only: "+
				"move the port to a Service of its own, or export with the value %s if pods can reach each other",
				port.Port, protocol, v1alpha3.ExportedRemoteDiscovery)
		}
	}
	return "", ""
}

func protocolOf(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

// refusedName checks that the names which a target gives, and the mirror's, are legal. That it is free is checked in
// namespaceState's turn, because a namespace that is gone holds no names.
func (p *pass) refusedName() *obstacle {
	for _, given := range [...]struct{ what, name string }{{"namespace", p.in.Namespace}, {"name", p.in.Name}} {
		if len(validation.IsDNS1123Label(given.name)) > 0 {
			return refused(v1alpha3.ReasonInvalidService, "the Service's %s %q is not a DNS label: export a Service whose %s has at most "+
				"%d lower-case letters, digits and hyphens", given.what, shown(given.name), given.what, validation.DNS1123LabelMaxLength)
		}
	}
	if n := len(p.mirror); n > validation.DNS1123LabelMaxLength {
		return refused(v1alpha3.ReasonNameTooLong, "the mirror's name %s has %d characters and at most %d are possible: "+
			"export a Service with a name of at most %d characters",
			p.mirror, n, validation.DNS1123LabelMaxLength, max(0, validation.DNS1123LabelMaxLength-1-len(p.in.Link.Cluster)))
	}
	return nil
}

// refusedPlace keeps targets out of the namespaces that run this cluster.
func (p *pass) refusedPlace() *obstacle {
	if !p.in.Policy.Imports(p.in.Namespace) {
		return refused(v1alpha3.ReasonNamespaceForbidden, "the controller makes mirrors in some namespaces alone, and %s is none of them: "+
			"export the service from one of those, or add this one to --import-namespaces", p.in.Namespace)
	}
	if !NamespaceAllowed(p.in.Policy, p.in.Namespace) {
		return refused(v1alpha3.ReasonNamespaceForbidden, "no mirrors are made in namespace %s: "+
			"export the service from another namespace, or allow this one in the controller's options", p.in.Namespace)
	}
	return nil
}

// Imports says whether namespace is one of those that mirrors may be in, if it is not all of them.
func (p Policy) Imports(namespace string) bool {
	return len(p.ImportNamespaces) == 0 || slices.Contains(p.ImportNamespaces, namespace)
}

// NamespaceAllowed says whether a target may have mirrors in a namespace.
func NamespaceAllowed(policy Policy, namespace string) bool {
	protected := strings.HasPrefix(namespace, "kube-") || slices.Contains(policy.OwnNamespaces, namespace)
	return !protected || slices.Contains(policy.AllowedNamespaces, namespace)
}

func (p *pass) namespaceState() *obstacle {
	switch {
	case p.in.LocalNamespace == NamespaceTerminating:
		return waiting(v1alpha3.ReasonNamespaceTerminating, "namespace %s is being deleted: "+
			"the mirror is made once it exists again", p.in.Namespace)
	case p.in.LocalNamespace == NamespaceMissing && !p.in.Policy.CreateNamespaces:
		return waiting(v1alpha3.ReasonMissingNamespace, "namespace %s does not exist: "+
			"create it, or run the controller with --create-namespaces", p.in.Namespace)
	case p.conflict:
		return refused(v1alpha3.ReasonNameConflict, "the name %s is taken by a Service that is not this mirror, which is left alone: "+
			"rename or delete that Service, or export under another name", p.mirror)
	case p.own != nil && p.own.DeletionTimestamp != nil:
		return waiting(v1alpha3.ReasonDeleting, "the mirror %s is being deleted by somebody else: "+
			"it is made again once it is gone", p.mirror)
	default:
		return nil
	}
}

// refusedCount bounds what a target can make us create; mirrors that exist stay.
func (p *pass) refusedCount() *obstacle {
	if limit := p.in.Policy.MaxMirrors; limit > 0 && p.own == nil && p.in.Mirrors >= limit {
		return refused(v1alpha3.ReasonLimitReached, "Link %s has %d mirrors, the most that one Link may have: "+
			"export fewer services, or raise the limit in the controller's options", p.in.Link.Name, p.in.Mirrors)
	}
	return nil
}
