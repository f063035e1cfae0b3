package link

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// DefaultProbePort is used where a Link with a gateway names no probe port.
const DefaultProbePort = 4191

// MinProbePeriod and MaxProbePeriod bound periods and timeouts, so that a slip of the keyboard neither
// floods a gateway with probes that cannot be answered in time, nor turns probing off.
const (
	MinProbePeriod = 100 * time.Millisecond
	MaxProbePeriod = 24 * time.Hour
)

// Parse validates every field of a Link once. The error, if any, holds an InvalidError for each field
// that cannot work, in the order of the spec. Annotations pass the API server unchecked, so a value of
// one that cannot be used refuses nothing: it is in Ignored.
//
// With an error the Link returned is good for its identity only: Name, Namespace, UID, Generation,
// Deleting, Ignored, and Cluster where that field is valid. Its selectors select nothing.
func Parse(obj *v1alpha3.Link) (Link, error) {
	id := identity(obj)
	l := id
	var ps, ignored problems
	spec := obj.Spec

	l.Cluster = parseCluster(spec.TargetClusterName, &ps)
	id.Cluster = l.Cluster
	l.Domain = parseDomain(spec.TargetClusterDomain, &ps)
	l.ControlPlaneNamespace = parseNamespace(spec.TargetClusterLinkerdNamespace, &ps)
	l.CredentialsSecret = parseSecretName(spec.ClusterCredentialsSecret, &ps)
	l.Gateway = parseGateway(spec, &ps)
	l.GatewayClients = parseClients(obj.Annotations, &ignored)
	l.Exported = parseSelector("spec.selector", spec.Selector, &ps)
	l.RemoteDiscovery = parseSelector("spec.remoteDiscoverySelector", spec.RemoteDiscoverySelector, &ps)
	// Federated services have no value of their own yet, but a selector that cannot work is said now.
	parseSelector("spec.federatedServiceSelector", spec.FederatedServiceSelector, &ps)
	l.ExcludedAnnotations = NewKeyFilter(spec.ExcludedAnnotations)
	l.ExcludedLabels = NewKeyFilter(spec.ExcludedLabels)

	l.InsecureSkipTLSVerify = obj.Annotations[v1alpha3.AnnotationInsecureSkipTLSVerify] == "true"
	l.ReleaseMassDeletion = parseRelease(obj.Annotations, &ignored)
	l.AcceptTarget = strings.TrimSpace(obj.Annotations[v1alpha3.AnnotationAcceptTarget])
	l.Ignored, id.Ignored = ignored, ignored

	if err := ps.err(); err != nil {
		return id, err
	}
	return l, nil
}

// identity is what can be said of any Link, valid or not.
func identity(obj *v1alpha3.Link) Link {
	return Link{
		Name:            Name(obj.Name),
		Namespace:       obj.Namespace,
		UID:             obj.UID,
		Generation:      obj.Generation,
		Created:         obj.CreationTimestamp.Time,
		Deleting:        !obj.DeletionTimestamp.IsZero(),
		Exported:        labels.Nothing(),
		RemoteDiscovery: labels.Nothing(),
	}
}

// ValidateClusterName says whether a name can be the suffix of Service names (LINK-5).
func ValidateClusterName(name string) error {
	var ps problems
	parseCluster(name, &ps)
	return ps.err()
}

func parseCluster(value string, ps *problems) string {
	const field = "spec.targetClusterName"
	if value == "" {
		ps.add(field, "is required: it becomes the suffix of every mirror's name")
		return ""
	}
	if len(validation.IsDNS1123Label(value)) > 0 {
		ps.addValue(field, value, "must be a DNS label (at most 63 lower-case letters, digits and '-'): it becomes part of Service names")
		return ""
	}
	return value
}

func parseDomain(value string, ps *problems) string {
	if value == "" {
		return DefaultClusterDomain
	}
	if len(validation.IsDNS1123Subdomain(value)) > 0 {
		ps.addValue("spec.targetClusterDomain", value, "must be a DNS domain such as cluster.local")
	}
	return value
}

func parseNamespace(value string, ps *problems) string {
	if value != "" && len(validation.IsDNS1123Label(value)) > 0 {
		ps.addValue("spec.targetClusterLinkerdNamespace", value, "must be the name of a namespace")
	}
	return value
}

func parseSecretName(value string, ps *problems) string {
	const field = "spec.clusterCredentialsSecret"
	switch {
	case value == "":
		ps.add(field, "is required: name the Secret that holds the target's kubeconfig")
	case len(validation.IsDNS1123Subdomain(value)) > 0:
		ps.addValue(field, value, "must be the name of a Secret in the Link's namespace")
	}
	return value
}

// parseSelector keeps Linkerd's rule that an absent or empty selector selects nothing (LESSON-55).
func parseSelector(field string, s *metav1.LabelSelector, ps *problems) labels.Selector {
	if s == nil || (len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0) {
		return labels.Nothing()
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		ps.add(field, "is not a label selector: "+err.Error())
		return labels.Nothing()
	}
	return selector
}

func annotationField(key string) string { return "metadata.annotations[" + key + "]" }

func parseRelease(annotations map[string]string, ps *problems) time.Time {
	value := strings.TrimSpace(annotations[v1alpha3.AnnotationReleaseMassDeletion])
	if value == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		ps.addValue(annotationField(v1alpha3.AnnotationReleaseMassDeletion), value,
			"must be an RFC 3339 time such as 2026-01-31T12:00:00Z")
		return time.Time{}
	}
	return t.UTC()
}

// parseClients takes an empty value for none, as one that was cleared is.
func parseClients(annotations map[string]string, ps *problems) Clients {
	value := strings.TrimSpace(annotations[v1alpha3.AnnotationGatewayClients])
	switch clients := Clients(value); clients {
	case ClientsUnset, ClientsMesh, ClientsEgress:
		return clients
	default:
		ps.addValue(annotationField(v1alpha3.AnnotationGatewayClients), value,
			"must be "+v1alpha3.GatewayClientsMesh+" or "+v1alpha3.GatewayClientsEgress+"; until then the last such value counts that the controller has read since it started, else its --gateway-clients")
		return ClientsUnset
	}
}

// parseGateway looks at the gateway's fields only when there is an address: Linkerd writes zeros
// into them for a Link without a gateway.
func parseGateway(spec v1alpha3.LinkSpec, ps *problems) *Gateway {
	if strings.TrimSpace(spec.GatewayAddress) == "" {
		return nil
	}
	return &Gateway{
		Addresses: parseAddresses(spec.GatewayAddress, ps),
		Port:      parsePort("spec.gatewayPort", spec.GatewayPort, 0, ps),
		Identity:  parseIdentity(spec.GatewayIdentity, ps),
		Probe:     parseProbe(spec.ProbeSpec, ps),
	}
}

func parseAddresses(list string, ps *problems) []string {
	const field = "spec.gatewayAddress"
	var addresses []string
	before := len(*ps)
	seen := map[string]struct{}{}
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		address, ok := normalAddress(part)
		if !ok {
			ps.addValue(field, part, "must be the IP address or DNS name of a host, without scheme, port or zone")
			continue
		}
		if _, dup := seen[address]; dup {
			continue
		}
		seen[address] = struct{}{}
		addresses = append(addresses, address)
	}
	if len(addresses) == 0 && len(*ps) == before {
		ps.addValue(field, list, "holds no address: list IP addresses and DNS names, or leave it empty for no gateway")
	}
	return addresses
}

// normalAddress gives one spelling to each address: the canonical form of an IP, lower case for a name.
func normalAddress(s string) (string, bool) {
	if ip, err := netip.ParseAddr(s); err == nil {
		if ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
			return "", false
		}
		return ip.Unmap().String(), true
	}
	name := strings.ToLower(s)
	return name, isHostName(strings.TrimSuffix(name, "."))
}

// isHostName accepts what DNS resolves in practice. A name that ends in a number is a mistyped IP
// address, never a name.
func isHostName(name string) bool {
	if name == "" || len(name) > validation.DNS1123SubdomainMaxLength {
		return false
	}
	last := name
	for label := range strings.SplitSeq(name, ".") {
		if !isHostLabel(label) {
			return false
		}
		last = label
	}
	_, err := strconv.ParseUint(last, 10, 64)
	return err != nil
}

func isHostLabel(label string) bool {
	if label == "" || len(label) > validation.DNS1123LabelMaxLength || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range []byte(label) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

func parseIdentity(value string, ps *problems) string {
	value = strings.TrimSpace(value)
	if value != "" && len(validation.IsDNS1123Subdomain(value)) > 0 {
		ps.addValue("spec.gatewayIdentity", value,
			"must be a DNS name such as linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local")
	}
	return value
}

// parsePort reads a decimal port. An empty one becomes the default, or is a problem where there is none.
func parsePort(field, value string, def uint16, ps *problems) uint16 {
	if value == "" && def != 0 {
		return def
	}
	if value == "" {
		ps.add(field, "is required when spec.gatewayAddress is set: a number from 1 to 65535")
		return 0
	}
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 {
		ps.addValue(field, value, "must be a number from 1 to 65535")
		return 0
	}
	return uint16(n)
}
