package plan

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	discoveryv1ac "k8s.io/client-go/applyconfigurations/discovery/v1"

	"github.com/linkspan/linkspan/pkg/link"
)

// Input is all that is known of one remote service at one moment.
type Input struct {
	Link link.Link
	// Namespace and Name are those of the remote Service. The mirror's namespace is the same.
	Namespace string
	Name      string
	// LocalNamespace is the state of the namespace that the mirror belongs in.
	LocalNamespace NamespaceState
	Remote         Remote
	Local          Local
	// Gateway has one entry per resolved address of the Link's gateway; empty without a gateway, or
	// before its names were first resolved.
	Gateway []GatewayAddress
	// Clients says who dials the gateway; unset means mesh.
	Clients link.Clients
	// Egress is our egress in the local cluster. With ClientsMesh it matters as long as slices lead to it.
	Egress Egress
	Policy Policy
	// Mirrors is how many mirrors of this Link exist, this one included if it does.
	Mirrors int
}

// RemoteState is what the target says of a service.
type RemoteState string

// The three things a target can say. Only Absent, read from a synced cache of a connected target,
// may ever delete.
const (
	Unknown RemoteState = "Unknown"
	Present RemoteState = "Present"
	Absent  RemoteState = "Absent"
)

// Remote is the service in the target. Service and Slices are set only when State is Present.
type Remote struct {
	State   RemoteState
	Service *corev1.Service
	Slices  []*discoveryv1.EndpointSlice
}

// Local is what exists in the local cluster under the mirror's name, of objects that carry
// mirror.linkerd.io/mirrored-service.
type Local struct {
	// Service is nil when there is no such Service, or it does not carry that label.
	Service *corev1.Service
	// Foreign is true when a Service of the mirror's name is known to exist without that label. It
	// counts even when Service is set, which is then out of date.
	Foreign bool
	// Slices are those labelled with the mirror's name, ours and others', and those of the Link's
	// cluster that name the remote Service in their annotation: somebody may have relabelled them.
	Slices []*discoveryv1.EndpointSlice
}

// NamespaceState is the state of the mirror's namespace.
type NamespaceState string

// States of a namespace.
const (
	NamespaceActive      NamespaceState = "Active"
	NamespaceMissing     NamespaceState = "Missing"
	NamespaceTerminating NamespaceState = "Terminating"
)

// Health is the verdict on a gateway address.
type Health string

// Verdicts. HealthUnknown, no verdict yet, leaves existing readiness as it is.
const (
	HealthUnknown Health = "Unknown"
	HealthAlive   Health = "Alive"
	HealthDead    Health = "Dead"
)

// GatewayAddress is one resolved address of a gateway and its verdict.
type GatewayAddress struct {
	IP     netip.Addr
	Health Health
}

// Policy is what this installation permits any target to do.
type Policy struct {
	// CreateNamespaces makes missing namespaces.
	CreateNamespaces bool
	// OwnNamespaces are where the controller runs and where its Links are; they and kube-* get no mirrors unless allowed.
	OwnNamespaces []string
	// AllowedNamespaces lifts that for the namespaces named.
	AllowedNamespaces []string
	// ImportNamespaces are the only ones with mirrors; all are when it is empty.
	ImportNamespaces []string
	// MaxMirrors is the most mirrors that one Link may have; 0 means no limit.
	MaxMirrors int
	// MaxEndpoints is the most endpoints that one mirror may have; 0 means no limit. The number of its
	// slices follows from it: see MaxSlices.
	MaxEndpoints int
	// LocalNetworks are the local cluster's own pod and service ranges: no endpoint may lie in them.
	LocalNetworks []netip.Prefix
}

// Ref names an object to delete; the UID is a precondition.
type Ref struct {
	Namespace string
	Name      string
	UID       types.UID
}

// Plan is what to do, in this order: create the namespace, remove upstream's Endpoints, remove the Service's
// selector and the Endpoints made by it, apply the Service, apply the slices, delete slices, delete the Service. Stop at the first step that fails:
// a later step relies on those before it. Nil and empty mean nothing to do.
type Plan struct {
	CreateNamespace string
	// Unselect is the mirror, when somebody gave it a selector: an apply could not take that away, for it is
	// not ours.
	Unselect *Ref
	// DeleteEndpoints is what Kubernetes made by such a selector, and leaves behind.
	DeleteEndpoints *Ref
	// Service to apply. With a UID it updates that object and no other; without, it may only create.
	Service *corev1ac.ServiceApplyConfiguration
	// Slices to apply, by the same rule.
	Slices       []*discoveryv1ac.EndpointSliceApplyConfiguration
	DeleteSlices []Ref
	// Adopt is set when a mirror made by Linkerd's controller is to be written; Service is then set too.
	Adopt *Adoption
	// DeleteService is the mirror, when its export is positively gone.
	DeleteService *Ref

	Outcome Outcome
	// Events to record, at most one per reason. A warning is in every plan for as long as it holds, so
	// the recorder must not repeat it; a normal event is only in the plan that does what it tells of.
	Events []Event
}

// Empty is true when there is nothing to write or delete.
func (p Plan) Empty() bool {
	return p.CreateNamespace == "" && p.Unselect == nil && p.DeleteEndpoints == nil && p.Service == nil && len(p.Slices) == 0 &&
		len(p.DeleteSlices) == 0 && p.Adopt == nil && p.DeleteService == nil
}

// Adoption says how far the take-over of a mirror made by Linkerd's controller may go now.
type Adoption struct {
	// Mirror is the existing Service: its field ownership is moved to us before it is applied.
	Mirror Ref
	// RemoveEndpoints is true once our slices are in place, and one of their endpoints is ready or none of
	// the old ones is: the Endpoints object of the same name goes, and only then is the Service applied.
	// That writes the applied-hash, which ends the adoption, so a crash between the two repeats this step
	// instead of leaving it out.
	RemoveEndpoints bool
}

// State is what became of an exported service.
type State string

// States of an exported service.
const (
	// StateNone: not exported and not mirrored; nothing to report.
	StateNone State = "None"
	// StateMirrored: the mirror is what it should be once the plan is applied.
	StateMirrored State = "Mirrored"
	// StateRefused: it cannot be mirrored as it is; the user must act.
	StateRefused State = "Refused"
	// StateWaiting: not our fault and not the user's; retried when the obstacle goes.
	StateWaiting State = "Waiting"
	// StateKept: the target says nothing, so the mirror is kept.
	StateKept State = "Kept"
	// StateDeleting: the mirror is being deleted.
	StateDeleting State = "Deleting"
)

// Outcome is the state of one exported service, for the Link's status and metrics.
type Outcome struct {
	State   State
	Mode    link.Mode
	Reason  string
	Message string
	// Ready is true when the mirror has a ready endpoint once the plan is applied.
	Ready bool
}

// Event is something that an operator should see, recorded on the mirror if it exists, else on the Link.
type Event struct {
	Warning bool
	Reason  string
	Message string
}
