package probe

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/linkspan/linkspan/pkg/link"
)

// settings are the parts of a Link that matter to probing.
type settings struct {
	cluster   string
	enabled   bool
	addresses []string
	probe     link.Probe
	// traffic is zero if there is no handshake to make.
	traffic traffic
}

// traffic is where a gateway takes traffic, and as whom.
type traffic struct {
	port     uint16
	identity string
}

// settingsOf leaves out what no probe asks for: without TLS, an edit of the traffic port or of the
// identity disturbs nothing.
func settingsOf(l link.Link, withTLS bool) settings {
	if l.Gateway == nil {
		return settings{cluster: l.Cluster}
	}
	s := settings{
		cluster:   l.Cluster,
		enabled:   true,
		addresses: slices.Clone(l.Gateway.Addresses),
		probe:     l.Gateway.Probe,
	}
	if withTLS && l.Gateway.Identity != "" {
		s.traffic = traffic{port: l.Gateway.Port, identity: l.Gateway.Identity}
	}
	return s
}

// sameProbes says whether what is asked of each address is the same.
func (s settings) sameProbes(other settings) bool {
	return s.probe == other.probe && s.traffic == other.traffic
}

func (s settings) equal(other settings) bool {
	return s.cluster == other.cluster && s.enabled == other.enabled && s.sameProbes(other) &&
		slices.Equal(s.addresses, other.addresses)
}

// gateway is the gateway of one Link. Gateways.mu guards it, but for name, which never changes.
type gateway struct {
	name     link.Name
	settings settings
	names    map[string]*name
	targets  map[netip.Addr]*target
	// excess is how many addresses are left out because of the limit.
	excess int
	// unready is why no handshake can be tried, for a reason of ours.
	unready error
	// reported is the text of the problems that were last logged.
	reported string
}

// target is one address that is probed. Gateways.mu guards it, but for ip, which never changes.
type target struct {
	ip   netip.Addr
	stop context.CancelFunc

	host      string
	machine   Machine
	latency   time.Duration
	lastError string
	// expiry is of the certificates that were last seen.
	expiry expiry
}

// take takes the result of a probe in and says whether the verdict changed.
func (t *target) take(found outcome, err error) bool {
	if found.expiry != (expiry{}) {
		t.expiry = found.expiry
	}
	t.lastError = ""
	if err != nil {
		t.lastError = err.Error()
	} else {
		t.latency = found.latency
	}
	if isUnready(err) {
		return false // neither a success nor a failure of the gateway
	}
	var changed bool
	t.machine, changed = t.machine.Step(err == nil)
	return changed
}

// entries are the Link's addresses and names, no more than limit.
func (gw *gateway) entries(limit int) []string {
	return gw.settings.addresses[:min(limit, len(gw.settings.addresses))]
}

// hosts are the DNS names among the entries.
func (gw *gateway) hosts(limit int) []string {
	return slices.DeleteFunc(slices.Clone(gw.entries(limit)), func(entry string) bool {
		_, err := netip.ParseAddr(entry)
		return err == nil
	})
}

// wanted says which addresses to probe, each with the name that it came from, and how many are left
// out. The order of the Link, and of addresses within a name, decides which ones stay.
func (gw *gateway) wanted(limit int) (hosts map[netip.Addr]string, excess int) {
	hosts = map[netip.Addr]string{}
	excess = len(gw.settings.addresses) - len(gw.entries(limit))
	add := func(ip netip.Addr, host string) {
		if _, ok := hosts[ip]; ok {
			return
		}
		if len(hosts) == limit {
			excess++
			return
		}
		hosts[ip] = host
	}
	for _, entry := range gw.entries(limit) {
		if ip, err := netip.ParseAddr(entry); err == nil {
			add(ip.Unmap(), "")
			continue
		}
		if n, ok := gw.names[entry]; ok {
			for _, ip := range slices.Concat(n.v4, n.v6) {
				add(ip, entry)
			}
		}
	}
	return hosts, excess
}

// resolved is true once every name was resolved or failed.
func (gw *gateway) resolved() bool {
	for _, n := range gw.names {
		if !n.settled {
			return false
		}
	}
	return true
}

// verdict is Alive if any address is, Dead if there are some and it is known that none is alive, and else Unknown.
func (gw *gateway) verdict() State {
	unknown := !gw.resolved() || len(gw.targets) == 0
	for _, t := range gw.targets {
		switch t.machine.State {
		case Alive:
			return Alive
		case Unknown:
			unknown = true
		case Dead:
		}
	}
	if unknown {
		return Unknown
	}
	return Dead
}

// expiry is when the first of the gateway's certificates expires.
func (gw *gateway) expiry() expiry {
	var first expiry
	for _, t := range gw.targets {
		first = first.soonest(t.expiry)
	}
	return first
}

// forgetTLS forgets what was learned from handshakes under other settings.
func (gw *gateway) forgetTLS() {
	gw.unready = nil
	for _, t := range gw.targets {
		t.expiry = expiry{}
	}
}

// addresses are the probed addresses, sorted by IP.
func (gw *gateway) addresses() []Address {
	addrs := make([]Address, 0, len(gw.targets))
	for _, t := range gw.targets {
		addrs = append(addrs, Address{
			Name: t.host, IP: t.ip, State: t.machine.State, Latency: t.latency, LastError: t.lastError,
		})
	}
	slices.SortFunc(addrs, func(a, b Address) int { return a.IP.Compare(b.IP) })
	return addrs
}

// problems are the names that do not resolve, in the order of the Link, the limit if it is reached,
// and a handshake that cannot be tried.
func (gw *gateway) problems(limit int) []error {
	var problems []error
	for _, host := range gw.hosts(limit) {
		if n, ok := gw.names[host]; ok && n.problem != nil {
			problems = append(problems, n.problem)
		}
	}
	if gw.excess > 0 {
		problems = append(problems, fmt.Errorf(
			"the gateway has more than %d addresses: %d are not probed or used (--probe-max-addresses)", limit, gw.excess))
	}
	if gw.unready != nil {
		problems = append(problems, gw.unready)
	}
	return problems
}
