package egress

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// Verdicts on one address in a Link's status.
const (
	stateAlive   = "Alive"
	stateDead    = "Dead"
	stateUnknown = "Unknown"
)

// peer is what is kept of a Link. It is never changed once made.
type peer struct {
	link    link.Name
	created time.Time
	cluster string
	// domain is the target's, and empty where the Link cannot be used.
	domain  string
	gateway Gateway
	faults  []Fault
}

// describeLink takes out of a Link what is kept of it. loopback permits gateways on this host.
func describeLink(obj *v1alpha3.Link, loopback bool) *peer {
	parsed, err := parseLink(obj)
	p := &peer{link: parsed.Name, created: parsed.Created, cluster: parsed.Cluster}
	switch {
	case err != nil:
		p.gateway.Refused = ReasonNoLink
		p.fault(CauseLink, err.Error())
		return p
	case parsed.Gateway == nil:
		p.gateway.Refused = ReasonNoRoute
	case parsed.Gateway.Identity == "":
		// Without a name to verify, whoever answers at the address would be taken for the gateway.
		p.gateway.Refused = ReasonNoIdentity
	default:
		p.gateway = p.judge(parsed.Gateway, obj.Status.Gateway, loopback)
	}
	p.domain = parsed.Domain
	return p
}

// parseLink validates the fields that the egress uses. A mistake in another one, such as an annotation,
// is the service mirror's to refuse, which goes on with what the Link was; it must not cut traffic here.
func parseLink(obj *v1alpha3.Link) (link.Link, error) {
	return link.Parse(&v1alpha3.Link{
		ObjectMeta: metav1.ObjectMeta{Name: obj.Name, Namespace: obj.Namespace, CreationTimestamp: obj.CreationTimestamp},
		Spec: v1alpha3.LinkSpec{
			TargetClusterName: obj.Spec.TargetClusterName, TargetClusterDomain: obj.Spec.TargetClusterDomain,
			GatewayAddress: obj.Spec.GatewayAddress, GatewayPort: obj.Spec.GatewayPort, GatewayIdentity: obj.Spec.GatewayIdentity,
			// A Link must have one. It is not looked at here.
			ClusterCredentialsSecret: "unused",
		},
	})
}

// judge takes the addresses that are alive, and says why there are none. Where none has a verdict in its
// favor, those without any are tried: after a restart of the service mirror the endpoints of mirrors stay as
// ready as they were, and clients come. An address that is refused cannot be dialed, and so counts as dead.
func (p *peer) judge(spec *link.Gateway, status []v1alpha3.GatewayAddressStatus, loopback bool) Gateway {
	g := Gateway{Identity: spec.Identity}
	var unknown []netip.AddrPort
	dead := 0
	for i := range status {
		ip, ok := parseAddress(status[i].Address, loopback)
		switch {
		case !ok:
			dead++
			p.fault(CauseAddress, "status names the gateway address "+quote(status[i].Address)+
				", which is not dialed: it must be a unicast IP address that means the same on every host")
		case status[i].State == stateAlive:
			g.Addresses = append(g.Addresses, netip.AddrPortFrom(ip, spec.Port))
		case status[i].State == stateUnknown:
			unknown = append(unknown, netip.AddrPortFrom(ip, spec.Port))
		case status[i].State == stateDead:
			dead++
		}
	}
	if len(g.Addresses) == 0 {
		g.Addresses = unknown
	}
	// In which order addresses were probed must not matter.
	slices.SortFunc(g.Addresses, netip.AddrPort.Compare)
	g.Addresses = slices.Compact(g.Addresses)
	switch {
	case len(g.Addresses) > 0:
	case dead > 0 && dead == len(status):
		g.Refused = ReasonGatewayDead
	default:
		g.Refused = ReasonGatewayUnknown
	}
	return g
}

func (p *peer) fault(cause Cause, what string) {
	p.faults = append(p.faults, Fault{Object: "Link " + string(p.link), Cause: cause, Text: what})
}

// older decides which of two Links to one cluster counts, as the service mirror does.
func (p *peer) older(o *peer) bool {
	return cmp.Or(p.created.Compare(o.created), cmp.Compare(p.link, o.link)) < 0
}

// same says whether two Links, or none, lead to the same places.
func (p *peer) same(o *peer) bool {
	if p == nil || o == nil {
		return p == o
	}
	return p.link == o.link && p.created.Equal(o.created) && p.cluster == o.cluster && p.domain == o.domain &&
		p.gateway.same(o.gateway) && slices.Equal(p.faults, o.faults)
}

// parseAddress reads "IP" or "IP (name)". It takes only addresses that mean the same host everywhere:
// behind any other could be this host, or one of its neighbors. An IPv4 address written as IPv6 could
// hide one of these.
func parseAddress(text string, loopback bool) (netip.Addr, bool) {
	text, _, _ = strings.Cut(text, " ")
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || ip.Is4In6() {
		return netip.Addr{}, false
	}
	if ip.IsLoopback() {
		return ip, loopback
	}
	return ip, ip.IsGlobalUnicast() && (!ip.Is4() || ip.As4()[0] != 0)
}
