package probe

import (
	"net/netip"

	"github.com/linkspan/linkspan/pkg/link"
)

// The methods in this file make what runs follow what is wanted. g.mu is held in all of them.

// set makes a gateway follow its Link.
func (g *Gateways) set(l link.Link) {
	wanted := settingsOf(l, g.tls != nil)
	gw, ok := g.running[l.Name]
	if ok && gw.settings.cluster != wanted.cluster {
		// Mirrors and metrics of another cluster have other names, so nothing is carried over.
		g.drop(gw)
		ok = false
	}
	if !ok {
		gw = &gateway{name: l.Name, names: map[string]*name{}, targets: map[netip.Addr]*target{}}
		g.running[l.Name] = gw
	} else if gw.settings.equal(wanted) {
		return
	}
	before := gw.settings
	gw.settings = wanted
	if !before.sameProbes(wanted) {
		for _, t := range gw.targets {
			g.restart(gw, t)
		}
	}
	if before.traffic != wanted.traffic {
		gw.forgetTLS()
	}
	resolved := gw.resolved()
	g.followNames(gw)
	if g.followTargets(gw) || resolved != gw.resolved() {
		g.announceLater(gw.name)
	}
}

// drop ends all loops of a gateway and removes its series.
func (g *Gateways) drop(gw *gateway) {
	for _, n := range gw.names {
		n.stop()
	}
	for _, t := range gw.targets {
		t.stop()
	}
	delete(g.running, gw.name)
	delete(g.changed, gw.name)
	g.metrics.forget(gw.settings.cluster)
	// A Link that replaces another one of the same cluster may come before the other one goes.
	for _, other := range g.running {
		if other.settings.cluster == gw.settings.cluster {
			g.publish(other)
		}
	}
}

// followNames starts and stops the loops that resolve.
func (g *Gateways) followNames(gw *gateway) {
	wanted := map[string]struct{}{}
	for _, host := range gw.hosts(g.opts.MaxAddresses) {
		wanted[host] = struct{}{}
		if _, ok := gw.names[host]; !ok {
			n := &name{host: host}
			n.stop = g.spawn(g.resolveLoop(gw, n))
			gw.names[host] = n
		}
	}
	for host, n := range gw.names {
		if _, ok := wanted[host]; !ok {
			n.stop()
			delete(gw.names, host)
		}
	}
}

// followTargets starts and stops the loops that probe, and says whether the set changed. A target
// that stays is not touched, so it keeps its verdict and its rhythm.
func (g *Gateways) followTargets(gw *gateway) bool {
	before := gw.excess
	var wanted map[netip.Addr]string
	wanted, gw.excess = gw.wanted(g.opts.MaxAddresses)
	changed := gw.excess != before
	for ip, t := range gw.targets {
		if _, ok := wanted[ip]; !ok {
			t.stop()
			delete(gw.targets, ip)
			g.metrics.forgetAddress(gw.settings.cluster, ip)
			changed = true
		}
	}
	for ip, host := range wanted {
		t, ok := gw.targets[ip]
		if !ok {
			t = &target{ip: ip, machine: NewMachine(gw.settings.probe.FailureThreshold, g.opts.SuccessThreshold)}
			t.stop = g.spawn(g.probeLoop(gw, t, gw.settings))
			gw.targets[ip] = t
			changed = true
		}
		t.host = host
	}
	g.publish(gw)
	return changed
}

// restart gives a target a loop with the gateway's present settings. Its verdict stays (LESSON-17).
func (g *Gateways) restart(gw *gateway, t *target) {
	t.stop()
	t.machine = t.machine.Restarted(gw.settings.probe.FailureThreshold)
	t.stop = g.spawn(g.probeLoop(gw, t, gw.settings))
}

// publish sets the gauges of a gateway as a whole.
func (g *Gateways) publish(gw *gateway) {
	if !gw.settings.enabled {
		g.metrics.forget(gw.settings.cluster)
	} else {
		if len(gw.targets) == 0 && gw.resolved() {
			g.metrics.forgetVerdict(gw.settings.cluster)
		}
		g.metrics.setVerdict(gw.settings.cluster, gw.verdict())
		g.metrics.setExpiry(gw.settings.cluster, gw.expiry())
		for ip, t := range gw.targets {
			g.metrics.setAddressVerdict(gw.settings.cluster, ip, t.machine.State)
		}
	}
	g.metrics.setEnabled(gw.settings.cluster, gw.settings.enabled)
}

// announceLater has onChange called by the goroutine of Start.
func (g *Gateways) announceLater(n link.Name) {
	g.changed[n] = struct{}{}
	select {
	case g.wake <- struct{}{}:
	default:
	}
}
