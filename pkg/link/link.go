package link

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// Defaults of fields that a Link may leave empty (compat: Link v1alpha3).
const (
	DefaultClusterDomain    = "cluster.local"
	DefaultProbePath        = "/ready"
	DefaultProbePeriod      = 3 * time.Second
	DefaultProbeTimeout     = 30 * time.Second
	DefaultFailureThreshold = 3
)

// Name is the name of a Link object. All Links that one controller serves live in one namespace.
type Name string

// Link is a validated Link object.
type Link struct {
	Name       Name
	Namespace  string
	UID        types.UID
	Generation int64
	// Created orders Links that compete for the same cluster: the oldest wins.
	Created time.Time
	// Deleting is true once the object has a deletion timestamp.
	Deleting bool

	// Cluster is targetClusterName, the suffix of every mirror.
	Cluster string
	// Domain is the target's cluster domain, never empty.
	Domain string
	// ControlPlaneNamespace is where Linkerd runs in the target; may be empty.
	ControlPlaneNamespace string
	// CredentialsSecret is the name of the Secret in Namespace.
	CredentialsSecret string
	// InsecureSkipTLSVerify permits a kubeconfig that does not verify the target's certificate.
	InsecureSkipTLSVerify bool

	// Gateway is nil when the Link has no gateway.
	Gateway *Gateway
	// GatewayClients says who dials the gateway; unset leaves it to the installation.
	GatewayClients Clients

	// Exported and RemoteDiscovery select the target's services; never nil, and an absent or empty
	// selector in the spec selects nothing.
	Exported        labels.Selector
	RemoteDiscovery labels.Selector

	// ExcludedLabels and ExcludedAnnotations are not copied to mirrors.
	ExcludedLabels      KeyFilter
	ExcludedAnnotations KeyFilter

	// ReleaseMassDeletion lets go of mass deletions held since this time or before; zero holds all.
	ReleaseMassDeletion time.Time
	// AcceptTarget is the identity of a new target that the operator accepts, or empty.
	AcceptTarget string

	// Ignored says of each annotation with a value that cannot be used why; it is as if it were absent.
	Ignored []*InvalidError
}

// KeepClients takes over who dials the gateway from the value before, where what the Link says of it
// now is ignored: a slip of the keyboard must not move traffic.
func (l Link) KeepClients(before Link) Link {
	field := annotationField(v1alpha3.AnnotationGatewayClients)
	if slices.ContainsFunc(l.Ignored, func(e *InvalidError) bool { return e.Field == field }) {
		l.GatewayClients = before.GatewayClients
	}
	return l
}

// Gateway is how to reach and probe the target's gateway.
type Gateway struct {
	// Addresses are IP addresses and DNS names, in the order of the spec, without duplicates.
	Addresses []string
	// Port is the gateway's port for traffic.
	Port uint16
	// Identity is the TLS identity that the gateway must prove; may be empty.
	Identity string
	Probe    Probe
}

// Probe says how each gateway address is probed.
type Probe struct {
	// Path is the HTTP path, starting with '/'.
	Path string
	Port uint16
	// Period is the time between two probes of an address, from MinProbePeriod to MaxProbePeriod.
	Period time.Duration
	// Timeout is for one probe, at least MinProbePeriod and at most Period.
	Timeout time.Duration
	// FailureThreshold is how many failures in a row mean dead, at least 1.
	FailureThreshold int
}

// Clients says who dials a gateway for the clients of its mirrors.
type Clients string

// Who dials a gateway.
const (
	ClientsUnset Clients = ""
	// ClientsMesh are clients with a Linkerd proxy, which dials the gateway itself.
	ClientsMesh Clients = v1alpha3.GatewayClientsMesh
	// ClientsEgress are clients without one, for which our egress dials the gateway.
	ClientsEgress Clients = v1alpha3.GatewayClientsEgress
)

// Mode is how a mirror reaches the remote service.
type Mode string

// Modes of a mirror.
const (
	ModeNone            Mode = ""
	ModeGateway         Mode = "gateway"
	ModeRemoteDiscovery Mode = "remote-discovery"
)

// Mode says how a service with these labels is mirrored. A service that both selectors pick is
// mirrored pod to pod, as Linkerd does.
func (l Link) Mode(serviceLabels map[string]string) Mode {
	set := labels.Set(serviceLabels)
	switch {
	case l.RemoteDiscovery.Matches(set):
		return ModeRemoteDiscovery
	case l.Exported.Matches(set):
		return ModeGateway
	default:
		return ModeNone
	}
}

// MirrorName is the name of the mirror of a service (MIR-4). It has no inverse: the original's name
// is read from a label or annotation of the mirror, never from its name.
func (l Link) MirrorName(service string) string { return service + "-" + l.Cluster }

// RemoteFQName is the name of a service in the target's DNS.
func (l Link) RemoteFQName(namespace, service string) string {
	return service + "." + namespace + ".svc." + l.Domain
}

// SplitFQName takes a remote-svc-fq-name annotation apart. Names of per-pod mirrors, which have a
// host name in front, and anything else that is no service name give ok = false.
func SplitFQName(fqName string) (namespace, service string, ok bool) {
	parts := strings.SplitN(fqName, ".", 4)
	if len(parts) < 4 || parts[0] == "" || parts[1] == "" || parts[2] != "svc" {
		return "", "", false
	}
	return parts[1], parts[0], true
}

// KeyFilter is a set of label or annotation keys: exact keys, and prefixes that match at the slash.
type KeyFilter struct {
	exact    map[string]struct{}
	prefixes map[string]struct{}
}

// NewKeyFilter makes a filter of patterns, each a key or "prefix/*".
func NewKeyFilter(patterns []string) KeyFilter {
	f := KeyFilter{exact: map[string]struct{}{}, prefixes: map[string]struct{}{}}
	for _, p := range patterns {
		if prefix, ok := strings.CutSuffix(p, "/*"); ok {
			f.prefixes[prefix] = struct{}{}
			continue
		}
		f.exact[p] = struct{}{}
	}
	return f
}

// Matches says whether key is in the filter. example.com/* matches example.com/a and not
// example.community/a (LESSON-14).
func (f KeyFilter) Matches(key string) bool {
	if _, ok := f.exact[key]; ok {
		return true
	}
	for i := range len(key) {
		if key[i] != '/' {
			continue
		}
		if _, ok := f.prefixes[key[:i]]; ok {
			return true
		}
	}
	return false
}
