package check

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// Facts are all that checks judge. Slices are in the API server's order, which is by name.
type Facts struct {
	Now time.Time
	// Namespace is the installation's.
	Namespace string
	// CLI is this program's version, Expected what the versions are compared with.
	CLI, Expected string

	Server Read[Server]
	// Home is nil where there is no such namespace.
	Home    Read[*corev1.Namespace]
	LinkAPI Read[LinkAPI]
	// ControlPlanes are the namespaces of Linkerd's control planes.
	ControlPlanes Read[[]string]
	// OtherMirrors are pods of service mirrors that are not ours, as namespace/name.
	OtherMirrors Read[[]string]
	// MayInstall is asked before an installation: what it takes to apply what the charts render, and whether the
	// user may.
	MayInstall Read[[]Grant]
	// MayGrant is asked then as well: to bind and escalate, and the rights that the chart's Roles hold.
	MayGrant Read[RoleRights]
	// LoadBalancers are the Services of that type in all namespaces, asked for then as well.
	LoadBalancers Read[LoadBalancers]

	// Deployments and Pods are ours, in Namespace.
	Deployments Read[[]appsv1.Deployment]
	Pods        Read[[]corev1.Pod]
	// Accounts counts our service accounts in Namespace: other clusters may link with them where nothing runs.
	Accounts Read[int]
	// Controller is what the account of the controller may do.
	Controller Read[[]Grant]
	// Lease is nil where there is none.
	Lease Read[*coordinationv1.Lease]

	Links Read[[]Link]
	// Linked are the target clusters of the Links of all namespaces.
	Linked Read[map[string]bool]
	// GatewayServices are Services in Namespace that are marked as gateways.
	GatewayServices Read[[]corev1.Service]
	// OtherGateways are Services in other namespaces that Links may lead to as well, as namespace/name.
	OtherGateways Read[[]string]
	Mirrors       Read[[]Mirror]
	// Exports are the Services of this cluster that ask to be exported.
	Exports      Read[[]Export]
	Anchors      []Anchors
	Certificates []Certificate
	Policies     Read[Policies]
	AllowLists   []AllowList
}

// Server is this cluster's API server.
type Server struct {
	Version string
	// Date is what its clock shows, zero when it does not say.
	Date time.Time
}

// clock is what time it is: by the API server, because this machine's clock may be wrong (CHK-8).
func (f Facts) clock() time.Time {
	if date := f.Server.Value.Date; !date.IsZero() {
		return date
	}
	return f.Now
}

// RoleRights are what an API server asks of who makes Roles: to hold what they grant, or leave to grant
// whatever they like.
type RoleRights struct {
	// Leave is to escalate and bind, Held is what the chart's Roles grant; it is not asked where Leave is complete. Linkerd
	// is what accounts for other clusters are granted beside, where values say so.
	Leave, Held, Linkerd []Grant
}

// LoadBalancers counts Services of type LoadBalancer, and those of them that have an address.
type LoadBalancers struct{ All, WithAddress int }

// LinkAPI is what the API server serves of Link.
type LinkAPI struct {
	// Versions is empty without the CRD.
	Versions []string
	// Current is whether our version is among them, with a status.
	Current bool
	// Conditions is whether the CRD keeps the conditions of a Link's status; nil when that is not known.
	Conditions *bool
}

// Link is a Link and what its Secret says of itself.
type Link struct {
	v1alpha3.Link
	Credentials Read[Credentials]
	// Ignored says of each annotation with a value that cannot be used why.
	Ignored []string
}

// Name is the Link's.
func (l Link) Name() string { return l.Link.Name }

// Credentials is what may be told of a credentials Secret.
type Credentials struct {
	Found bool
	Type  string
	// Problem is why the kubeconfig cannot be used; it names fields and quotes nothing.
	Problem string
	// Local is true where the kubeconfig's server means the machine that looks it up.
	Local bool
	// Expires is zero when the credentials do not say.
	Expires time.Time
}

// Mirror is a mirror Service.
type Mirror struct {
	Namespace, Name string
	// Cluster is the target cluster.
	Cluster string
	// Direct is true for pod to pod.
	Direct bool
	// Ready is true with at least one ready endpoint.
	Ready bool
}

// Export is a Service of this cluster with the label of exported ones.
type Export struct{ Namespace, Name, Value string }

// Anchors are the trust anchors that workloads mount, or those of the mesh.
type Anchors struct {
	// Source is where they are, such as "ConfigMap linkspan-trust-anchors, key ca-bundle.crt".
	Source string
	// ControlPlane is the namespace of the Linkerd that they are of, and empty for what our workloads mount.
	ControlPlane string
	PEM          Read[[]byte]
}

// Certificate is the certificate that a workload mounts.
type Certificate struct {
	Workload, Secret string
	// Component is the workload's, such as "ingress".
	Component string
	// Identity is what the workload was told to be.
	Identity string
	// Source is that of the workload's anchors.
	Source string
	PEM    Read[[]byte]
}

// Policies are Linkerd's policies in Namespace.
type Policies struct {
	// Installed is whether the types exist.
	Installed bool
	// Objects are those that others refer to.
	Objects map[Object]bool
	// References are those of AuthorizationPolicies.
	References []Reference
	Servers    []PolicyServer
}

// PolicyServer is a Server of Linkerd's: who may call a port of the pods that it selects is what policies say.
type PolicyServer struct {
	Name string
	// Pods is nil for a Server that selects none.
	Pods *metav1.LabelSelector
	// Port is a number or a name.
	Port string
	// AccessPolicy is for callers that no policy lets in; empty is deny.
	AccessPolicy string
}

// AllowList is whom an ingress lets in.
type AllowList struct {
	Workload, ConfigMap string
	// DryRun is true where others are let in as well, and logged.
	DryRun  bool
	Entries Read[[]string]
}

// Object is one of the policies' namespace. Kinds of several groups have the same name: HTTPRoute is Linkerd's and
// the Gateway API's.
type Object struct{ Group, Kind, Name string }

// Reference is what a policy refers to.
type Reference struct {
	Policy string
	Object
}

// Right is a permission on a kind of object.
type Right struct {
	Verb, Group, Resource string
	// Namespace is empty for all namespaces, and for what has none.
	Namespace string
}

// String is how a person would ask for it.
func (r Right) String() string {
	what := r.Resource
	if r.Group != "" {
		resource, sub, isSub := strings.Cut(r.Resource, "/")
		what = resource + "." + r.Group
		if isSub {
			what += "/" + sub
		}
	}
	if r.Namespace == "" {
		return fmt.Sprintf("%s %s in all namespaces", r.Verb, what)
	}
	return fmt.Sprintf("%s %s in namespace %s", r.Verb, what, r.Namespace)
}

// Grant is whether a right is granted.
type Grant struct {
	Right
	Allowed bool
}

// Read is something that the API server was asked for.
type Read[T any] struct {
	Value T
	Err   error
	// Right is what it takes to be answered.
	Right Right
}

// problem is the finding for what could not be read, nil when it could. A missing right is no fault of
// the installation's.
func (r Read[T]) problem(text string) []Finding {
	switch {
	case r.Err == nil:
		return nil
	case apierrors.IsForbidden(r.Err):
		return []Finding{warn(text, "not checked: you may not "+r.Right.String(), "have that right granted, or have somebody check who has it")}
	default:
		return []Finding{passing(text, fmt.Sprintf("this could not be found out (%s): %v", r.Right, r.Err), "try again, and look after the API server")}
	}
}
