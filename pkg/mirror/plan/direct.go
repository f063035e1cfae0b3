package plan

import (
	"math"
	"net/netip"
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// directSlices are the slices of a mirror that goes straight to the remote pods: one for each remote
// slice, an empty one for an empty one, so that scaling to zero and back changes a slice and makes none.
func (p *pass) directSlices() []sliceIntent {
	var intents []sliceIntent
	for _, source := range p.directSources() {
		room := p.sliceRoom(len(intents), len(source.endpoints) > 0)
		var made []sliceIntent
		if room > 0 {
			template := sliceIntent{
				ports:       p.directPorts(source.remote.Ports),
				annotations: map[string]string{v1alpha3.AnnotationRemoteServiceFQName: p.fqName},
			}
			made = p.spread(template, source.base, source.remote.AddressType, source.endpoints, true)
		}
		if room == 0 || len(made) > room {
			p.endpoints.add("EndpointSlice beyond the limit for one mirror", source.remote.Name)
			made = made[:min(room, len(made))]
		}
		intents = append(intents, made...)
	}
	return intents
}

// sliceRoom is how many slices may follow so many.
func (p *pass) sliceRoom(have int, withEndpoints bool) int {
	if withEndpoints && p.in.Policy.MaxEndpoints == 0 {
		return math.MaxInt
	}
	return max(0, p.in.Policy.MaxSlices()-have)
}

// directSource is a remote slice, what of its endpoints may be taken over, and the name of its copy.
type directSource struct {
	remote    *discoveryv1.EndpointSlice
	base      string
	endpoints []discoveryv1.Endpoint
}

// directSources are the remote slices, each name once, in the order in which they get room: those with
// endpoints by name, then the empty ones that have a copy, then the others. So one that becomes empty
// keeps its copy, and takes nobody's.
func (p *pass) directSources() []directSource {
	remote := slices.DeleteFunc(slices.Clone(p.in.Remote.Slices), func(s *discoveryv1.EndpointSlice) bool { return s == nil })
	slices.SortStableFunc(remote, func(a, b *discoveryv1.EndpointSlice) int { return strings.Compare(a.Name, b.Name) })
	remote = slices.CompactFunc(remote, func(a, b *discoveryv1.EndpointSlice) bool { return a.Name == b.Name })
	copied := p.directCopies()
	var ranked [3][]directSource
	for _, slice := range remote {
		if t := slice.AddressType; t != discoveryv1.AddressTypeIPv4 && t != discoveryv1.AddressTypeIPv6 {
			p.endpoints.add("EndpointSlice that holds no IP addresses", slice.Name)
			continue
		}
		source, rank := directSource{slice, p.directName(slice), p.directEndpoints(slice)}, 2
		switch {
		case len(source.endpoints) > 0:
			rank = 0
		case copied[source.base]:
			rank = 1
		}
		ranked[rank] = append(ranked[rank], source)
	}
	return slices.Concat(ranked[:]...)
}

// directCopies are the names, without number, of the slices that exist.
func (p *pass) directCopies() map[string]bool {
	copies := make(map[string]bool, len(p.slices))
	for _, slice := range p.slices {
		if digest, ok := strings.CutPrefix(slice.Name, p.mirror+"-"); ok {
			digest, _, _ = strings.Cut(digest, "-")
			copies[p.mirror+"-"+digest] = true
		}
	}
	return copies
}

// nameDigits is the length of the digest in a slice's name: 128 bits, because a target chooses what is
// hashed, and could find two names with the same shorter digest.
const nameDigits = 32

// directName needs no address type: where a slice of that name has another, spread takes the next name.
func (p *pass) directName(remote *discoveryv1.EndpointSlice) string {
	return p.mirror + "-" + shortHash([]byte(remote.Name), nameDigits)
}

// directPorts keep name, protocol, number and appProtocol. A port that the API server would refuse is
// left out, so that it does not cost the whole slice.
func (p *pass) directPorts(remote []discoveryv1.EndpointPort) []discoveryv1.EndpointPort {
	var ports []discoveryv1.EndpointPort
	seen := map[string]bool{}
	for i := range remote {
		name, protocol := ptr.Deref(remote[i].Name, ""), protocolOf(ptr.Deref(remote[i].Protocol, ""))
		valid := (name == "" || len(validation.IsDNS1123Label(name)) == 0) && !seen[name] && knownProtocol(protocol) &&
			(remote[i].Port == nil || len(validation.IsValidPortNum(int(*remote[i].Port))) == 0)
		switch {
		case !valid:
			p.endpoints.add("invalid or repeated port of an EndpointSlice", name)
			continue
		case len(ports) >= MaxPorts:
			p.endpoints.add("port beyond the limit for one EndpointSlice", name)
			continue
		}
		seen[name] = true
		ports = append(ports, discoveryv1.EndpointPort{
			Name: &name, Protocol: &protocol, Port: clone(remote[i].Port), AppProtocol: appProtocol(remote[i].AppProtocol),
		})
	}
	return ports
}

// directEndpoints keep addresses, conditions, host name and zone, sorted by address. What speaks of
// the target's nodes and pods is dropped, and so is every address that may not be reached from here.
func (p *pass) directEndpoints(remote *discoveryv1.EndpointSlice) []discoveryv1.Endpoint {
	kept := make([]located, 0, len(remote.Endpoints))
	for i := range remote.Endpoints {
		if ips := p.permitted(remote.AddressType, remote.Endpoints[i].Addresses); len(ips) > 0 {
			kept = append(kept, located{ips: ips, endpoint: cleaned(&remote.Endpoints[i], ips)})
		}
	}
	slices.SortStableFunc(kept, func(a, b located) int { return a.ips[0].Compare(b.ips[0]) })
	endpoints := make([]discoveryv1.Endpoint, 0, len(kept))
	for i := range kept {
		if p.withinLimit(len(kept[i].ips), kept[i].endpoint.Addresses[0]) {
			endpoints = append(endpoints, kept[i].endpoint)
		}
	}
	return endpoints
}

// located is an endpoint with its addresses as values.
type located struct {
	ips      []netip.Addr
	endpoint discoveryv1.Endpoint
}

// maxAddresses is the API server's limit for one endpoint.
const maxAddresses = 100

// permitted are the addresses of the slice's family that may be reached, each once.
func (p *pass) permitted(family discoveryv1.AddressType, addresses []string) []netip.Addr {
	ips := make([]netip.Addr, 0, len(addresses))
	for _, text := range addresses {
		ip, err := netip.ParseAddr(text)
		switch cause := RefusedAddress(ip, p.in.Policy.LocalNetworks); {
		case cause != "":
			p.endpoints.add(cause, text)
		case err != nil, ip.Is4() != (family == discoveryv1.AddressTypeIPv4):
			p.endpoints.add("address of another family than its EndpointSlice", text)
		case slices.Contains(ips, ip) || len(ips) >= maxAddresses:
		default:
			ips = append(ips, ip)
		}
	}
	return ips
}

func cleaned(remote *discoveryv1.Endpoint, ips []netip.Addr) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{
		Addresses: make([]string, len(ips)),
		Conditions: discoveryv1.EndpointConditions{
			Ready:       clone(remote.Conditions.Ready),
			Serving:     clone(remote.Conditions.Serving),
			Terminating: clone(remote.Conditions.Terminating),
		},
	}
	for i, ip := range ips {
		e.Addresses[i] = ip.String()
	}
	if h := remote.Hostname; h != nil && len(validation.IsDNS1123Label(*h)) == 0 {
		e.Hostname = clone(h)
	}
	if z := remote.Zone; z != nil && len(validation.IsValidLabelValue(*z)) == 0 {
		e.Zone = clone(z)
	}
	return e
}

func clone[T any](v *T) *T {
	if v == nil {
		return nil
	}
	return new(*v)
}
