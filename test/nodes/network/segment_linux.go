package network

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Segment is a cluster's network.
type Segment struct {
	// Plan has the addresses.
	Plan
	apiserver string
}

// NewSegment makes a cluster's network. The API server's address is outside of it, with those of the others.
func NewSegment(index int, apiserver string) (*Segment, error) {
	if err := routing(); err != nil {
		return nil, err
	}
	s := &Segment{Plan: Plan{Index: index}, apiserver: apiserver}
	bridge := s.bridge()
	err := ip("link add " + bridge + " type bridge")
	if err == nil {
		err = undo(ip(
			fmt.Sprintf("addr add %s/%d dev %s", s.Gateway(), s.Nodes().Bits(), bridge),
			"link set "+bridge+" up",
			// What has no more special route is nobody's, and must not run in circles.
			fmt.Sprintf("route add blackhole %s", s.All()),
		), "link del "+bridge)
	}
	if err != nil {
		return nil, fmt.Errorf("make the network of cluster %d: %w", index, err)
	}
	return s, nil
}

// undo takes away what was made before an error.
func undo(err error, line string) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, ip(line))
}

func (s *Segment) bridge() string { return fmt.Sprintf("cluster%d", s.Index) }

func (s *Segment) plug(number int) string { return fmt.Sprintf("c%dn%d", s.Index, number) }

// Join plugs a node in, and routes its pods to it.
func (s *Segment) Join(node *Namespace, number int) error {
	plug := s.plug(number)
	if err := ip(fmt.Sprintf("link add %s type veth peer name eth0 netns %s", plug, node.Path())); err != nil {
		return fmt.Errorf("plug node %d in: %w", number, err)
	}
	if err := undo(s.connect(node, number), "link del "+plug); err != nil {
		return fmt.Errorf("set up the network of node %d: %w", number, err)
	}
	return nil
}

// connect does both ends of a cable that is there.
func (s *Segment) connect(node *Namespace, number int) error {
	if err := ip(fmt.Sprintf("link set %s master %s up", s.plug(number), s.bridge())); err != nil {
		return err
	}
	err := node.Do(func() error {
		if err := routing(); err != nil {
			return err
		}
		return ip(
			fmt.Sprintf("addr add %s/%d dev eth0", s.Node(number), s.Nodes().Bits()),
			"link set eth0 up",
			fmt.Sprintf("route add default via %s", s.Gateway()),
		)
	})
	if err != nil {
		return err
	}
	return s.Route(s.NodePods(number), number)
}

// Route sends addresses to a node, which may have belonged to another.
func (s *Segment) Route(prefix netip.Prefix, number int) error {
	return ip(fmt.Sprintf("route replace %s via %s", prefix, s.Node(number)))
}

// Unroute sends them nowhere.
func (s *Segment) Unroute(prefix netip.Prefix) error {
	return ip(fmt.Sprintf("route del %s", prefix))
}

// Unplug pulls a node's cable: nothing gets to it or away from it, and nobody is told.
func (s *Segment) Unplug(number int) error { return ip("link set " + s.plug(number) + " down") }

// Plug puts it back.
func (s *Segment) Plug(number int) error { return ip("link set " + s.plug(number) + " up") }

// Cut drops everything between this cluster, with its API server, and all others, on open connections too. What runs in
// the namespace of the whole still reaches both sides.
func (s *Segment) Cut() error {
	const rules = `table inet CUT {}
delete table inet CUT
table inet CUT {
	chain passing {
		type filter hook forward priority filter; policy accept;
		iifname BRIDGE oifname != BRIDGE drop
		oifname BRIDGE iifname != BRIDGE drop
	}
	chain arriving {
		type filter hook input priority filter; policy accept;
		iifname BRIDGE ip daddr 198.51.100.0/24 ip daddr != API drop
		iifname != { BRIDGE, "lo" } ip daddr API drop
	}
}
`
	return nft(strings.NewReplacer("CUT", s.cut(), "BRIDGE", s.bridge(), "API", s.apiserver).Replace(rules))
}

// Mend ends Cut.
func (s *Segment) Mend() error { return nft("delete table inet " + s.cut()) }

func (s *Segment) cut() string { return fmt.Sprintf("cut%d", s.Index) }

// Leave takes a node's plug away, at once: the kernel would do so some time after the namespace has gone.
func (s *Segment) Leave(number int) error { return ip("link del " + s.plug(number)) }

// Close removes the cluster's network, which all nodes must have left.
func (s *Segment) Close() error {
	return ip("link del "+s.bridge(), fmt.Sprintf("route del blackhole %s", s.All()))
}
