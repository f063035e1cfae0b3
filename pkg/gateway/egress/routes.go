package egress

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// Reason says in one word, for logs and metrics, why a connection is turned away or was cut. The words
// never change.
type Reason string

// Reasons of the egress. Those of a dial that failed come from whoever dialed.
const (
	// ReasonNoLink: no usable Link leads to the mirror's cluster.
	ReasonNoLink Reason = "no_link"
	// ReasonNoRoute: the Link has no gateway to go through.
	ReasonNoRoute Reason = "no_route"
	// ReasonNoIdentity: the Link names no identity that the gateway must prove.
	ReasonNoIdentity Reason = "no_identity"
	// ReasonGatewayDead: no address of the gateway is alive, and that is known.
	ReasonGatewayDead Reason = "gateway_dead"
	// ReasonGatewayUnknown: no address of the gateway is known.
	ReasonGatewayUnknown Reason = "gateway_unknown"
	// ReasonFull: --max-connections are open.
	ReasonFull Reason = stream.ReasonFull
	// ReasonClientFull: --max-client-connections of one address are open.
	ReasonClientFull Reason = stream.ReasonClientFull
	// ReasonWithdrawn: the mirror, or its port, is gone.
	ReasonWithdrawn Reason = stream.ReasonWithdrawn
	// ReasonStopped: the process ends.
	ReasonStopped Reason = stream.ReasonStopped
)

// Routes is where connections go, and what is wrong with the objects that say so.
type Routes struct {
	// ByPort holds a Route for each egress port that is to be listened on.
	ByPort map[uint16]*Route
	// Conflicts are claims without effect, in order of ports, then of mirrors' names.
	Conflicts []Conflict
	// Faults are in order of objects.
	Faults []Fault
}

// Route is where the connections to one egress port go. It is never changed once made.
type Route struct {
	// Cluster is the target.
	Cluster string
	// Target is whose clients they are.
	Target Target
	// Header announces them to the gateway.
	Header  wire.Header
	Gateway Gateway
}

// Target is a port of a mirror.
type Target struct {
	Mirror types.NamespacedName
	// UID tells a mirror from a later one of the same name.
	UID  types.UID
	Port uint16
}

// Gateway is what is dialed. Values are shared: nobody may change Addresses.
type Gateway struct {
	// Identity is what it must prove.
	Identity string
	// Addresses are alive, or else not known to be dead, ascending, without duplicates; empty where Refused
	// says why.
	Addresses []netip.AddrPort
	// Refused is empty where the gateway may be dialed.
	Refused Reason
}

func (r *Route) same(o *Route) bool {
	return r.Cluster == o.Cluster && r.Target == o.Target && r.Header == o.Header && r.Gateway.same(o.Gateway)
}

func (g Gateway) same(o Gateway) bool {
	return g.Identity == o.Identity && g.Refused == o.Refused && slices.Equal(g.Addresses, o.Addresses)
}

// Conflict is a claim of an egress port that another mirror's slices lead to. Where several claim one that no
// slices lead to, there is a Conflict for each of them, and no Holder.
type Conflict struct {
	Port           uint16
	Mirror, Holder types.NamespacedName
}

// Cause is why an object does not count, in one word for a metric's label.
type Cause string

// Causes of faults.
const (
	// CauseTarget: a mirror does not say which remote Service it stands for.
	CauseTarget Cause = "target"
	// CauseName: a mirror has not the name, or namespace, of the remote Service's mirror.
	CauseName Cause = "name"
	// CausePorts: some of a mirror's egress ports cannot be read.
	CausePorts Cause = "ports"
	// CauseLink: the Link cannot be used.
	CauseLink Cause = "link"
	// CauseDuplicate: an older Link leads to the same cluster.
	CauseDuplicate Cause = "duplicate"
	// CauseAddress: an address of a gateway must not be dialed.
	CauseAddress Cause = "address"
)

func causes() []Cause {
	return []Cause{CauseTarget, CauseName, CausePorts, CauseLink, CauseDuplicate, CauseAddress}
}

// Fault is something wrong with an object.
type Fault struct {
	// Object is its kind and name.
	Object string
	Cause  Cause
	// Text says what is wrong and how to mend it.
	Text string
}
