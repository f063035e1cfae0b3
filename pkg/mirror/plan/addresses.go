package plan

import "net/netip"

// RefusedAddress says why traffic must never be sent to an address that a target, or the DNS of its
// gateway, names: a target must not reach what only this cluster's nodes and pods can. It is empty
// when the address may be used (SEC-4).
func RefusedAddress(ip netip.Addr, localNetworks []netip.Prefix) string {
	switch {
	case !ip.IsValid():
		return "invalid address"
	case ip.Zone() != "":
		return "address with a zone"
	case ip.Is4In6():
		return "IPv4 address written as IPv6"
	case ip.IsUnspecified():
		return "unspecified address"
	case ip.IsLoopback():
		return "loopback address"
	case ip.IsLinkLocalUnicast():
		return "link-local address"
	case ip.IsMulticast():
		return "multicast address"
	}
	if ip.Is4() {
		if b := ip.As4(); b[0] == 0 || b == [4]byte{255, 255, 255, 255} {
			return "address of this network"
		}
	} else if cause := refusedEmbedded(ip, localNetworks); cause != "" {
		return cause
	}
	for _, network := range localNetworks {
		if network.Contains(ip) {
			return "address in a network of this cluster"
		}
	}
	return ""
}

// refusedEmbedded looks at the IPv4 address inside an IPv6 address that a translator or tunnel on the
// way would take out: ::a.b.c.d, NAT64 (64:ff9b::/96) and 6to4 (2002::/16).
func refusedEmbedded(ip netip.Addr, localNetworks []netip.Prefix) string {
	b := ip.As16()
	switch {
	case [12]byte(b[:12]) == [12]byte{}:
		return "IPv4 address written as IPv6"
	case [12]byte(b[:12]) == [12]byte{0x00, 0x64, 0xff, 0x9b}:
		return RefusedAddress(netip.AddrFrom4([4]byte(b[12:])), localNetworks)
	case b[0] == 0x20 && b[1] == 0x02:
		return RefusedAddress(netip.AddrFrom4([4]byte(b[2:6])), localNetworks)
	}
	return ""
}

// admit says whether an address may be in the mirror, and counts it.
func (p *pass) admit(ip netip.Addr) bool {
	if cause := RefusedAddress(ip, p.in.Policy.LocalNetworks); cause != "" {
		p.endpoints.add(cause, ip.String())
		return false
	}
	return p.withinLimit(1, ip.String())
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
