package plan

import "net/netip"

// RefusedAddress says why traffic must never be sent to an address that a target, or the DNS of its
// gateway, names: a target must not reach what only this cluster's nodes and pods can. It is empty
// when the address may be used (SEC-4).
func RefusedAddress(ip netip.Addr, localNetworks []netip.Prefix) string {
	if cause := refusedRange(ip); cause != "" {
		return cause
	}
	if embedded, ok := embeddedAddress(ip); ok {
		if cause := RefusedAddress(embedded, localNetworks); cause != "" {
			return cause
		}
	}
	for _, network := range localNetworks {
		if network.Contains(ip) {
			return "address in a network of this cluster"
		}
	}
	return ""
}

// refusedRange says what is wrong with an address in any cluster.
func refusedRange(ip netip.Addr) string {
	switch {
	case !ip.IsValid():
		return "invalid address"
	case ip.Zone() != "":
		return "address with a zone"
	case ip.IsUnspecified(), reserved4(ip):
		return "unspecified address"
	case ip.IsLoopback():
		return "loopback address"
	case ip.Is4In6(), compatible(ip):
		return "IPv4 address written as IPv6"
	case ip.IsLinkLocalUnicast():
		return "link-local address"
	case ip.IsMulticast():
		return "multicast address"
	}
	return ""
}

// reserved4 is true of 0.0.0.0/8, which names this host on some systems, and of the broadcast address.
func reserved4(ip netip.Addr) bool {
	if !ip.Is4() {
		return false
	}
	b := ip.As4()
	return b[0] == 0 || b == [4]byte{255, 255, 255, 255}
}

// compatible is true of ::/96, the retired way of writing an IPv4 address as IPv6.
func compatible(ip netip.Addr) bool {
	b := ip.As16()
	return ip.Is6() && [12]byte(b[:12]) == [12]byte{}
}

// embeddedAddress is the IPv4 address that a translator (NAT64, 64:ff9b::/96) or tunnel (6to4,
// 2002::/16) on the way would take out of an IPv6 address.
func embeddedAddress(ip netip.Addr) (netip.Addr, bool) {
	if !ip.Is6() {
		return netip.Addr{}, false
	}
	b := ip.As16()
	switch {
	case [12]byte(b[:12]) == [12]byte{0x00, 0x64, 0xff, 0x9b}:
		return netip.AddrFrom4([4]byte(b[12:])), true
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

// admit says whether a gateway's address may be in the mirror, and counts it.
func (p *pass) admit(ip netip.Addr) bool {
	return !p.refusesGateway(ip) && p.withinLimit(1, ip.String())
}

// refusesGateway says whether a gateway's address may not be used, and counts it once.
func (p *pass) refusesGateway(ip netip.Addr) bool {
	cause := RefusedAddress(ip, p.in.Policy.LocalNetworks)
	if cause != "" && !p.refusedGateway[ip] {
		p.refusedGateway[ip] = true
		p.endpoints.add(cause, ip.String())
	}
	return cause != ""
}

// withinLimit counts an endpoint of so many addresses, unless that would be one too many.
func (p *pass) withinLimit(addresses int, example string) bool {
	if limit := p.in.Policy.MaxEndpoints; limit > 0 && p.used+addresses > limit {
		p.endpoints.add("endpoint beyond the limit for one mirror", example)
		return false
	}
	p.used += addresses
	return true
}
