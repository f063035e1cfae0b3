package ports

import "maps"

func (a *Allocator) claim(port uint16, c claimant) {
	if a.claims[port] == nil {
		a.claims[port] = map[claimant]uint64{}
	}
	if _, ok := a.claims[port][c]; ok {
		return
	}
	if a.asking {
		a.turn++
	}
	a.claims[port][c] = a.turn
	a.unhold(port)
}

// unclaim holds the port when nobody claims it any more.
func (a *Allocator) unclaim(port uint16, c claimant) {
	delete(a.claims[port], c)
	if len(a.claims[port]) > 0 {
		return
	}
	delete(a.claims, port)
	until := a.now().Add(a.hold)
	a.held[port] = holding{by: c, until: until}
	a.reserved[c] = port
	a.ending = append(a.ending, release{port, until})
}

func (a *Allocator) unhold(port uint16) {
	h, ok := a.held[port]
	if !ok {
		return
	}
	delete(a.held, port)
	if a.reserved[h.by] == port {
		delete(a.reserved, h.by)
	}
}

// expire lets go of ports whose time is over. Those that were claimed, or claimed and given back again,
// meanwhile are in ending as well, and passed over.
func (a *Allocator) expire() {
	now := a.now()
	for len(a.ending) > 0 {
		first := a.ending[0]
		h, ok := a.held[first.port]
		current := ok && h.until.Equal(first.until)
		if current && now.Before(first.until) {
			return
		}
		if current {
			a.unhold(first.port)
		}
		a.ending = a.ending[1:]
	}
}

// Usage is how many ports are in use, how many rest, and how many are free.
type Usage struct {
	Used, Resting, Free int
	// ByCluster are those in use by the cluster that their mirrors came from. A port that two mirrors claim
	// counts for both.
	ByCluster map[string]int
}

// Usage counts the ports.
func (a *Allocator) Usage() Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expire()
	used, resting := len(a.claims), len(a.held)
	return Usage{Used: used, Resting: resting, Free: a.ports.Size() - used - resting, ByCluster: maps.Clone(a.counts)}
}
