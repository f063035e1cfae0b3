package network

import (
	"fmt"
	"net/netip"
)

// Limits of a plan.
const (
	// MaxClusters and MaxNodes bound what has addresses.
	MaxClusters = 100
	MaxNodes    = 100
	firstNode   = 10 // the last number of the first node's address
)

// Plan says which addresses a cluster has: 10.101.0.0/16 for the first, 10.102.0.0/16 for the second, and so on.
type Plan struct {
	// Index is 1 for the first cluster.
	Index int
}

func (p Plan) prefix(third, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(100 + p.Index), byte(third), 0}), bits)
}

// All of the cluster's addresses, without its API server's.
func (p Plan) All() netip.Prefix { return p.prefix(0, 16) }

// Nodes is the network of the nodes themselves.
func (p Plan) Nodes() netip.Prefix { return p.prefix(0, 24) }

// Gateway is the router's address there.
func (p Plan) Gateway() netip.Addr { return p.Nodes().Addr().Next() }

// Node is the address of a node, from 1.
func (p Plan) Node(number int) netip.Addr {
	bytes := p.Nodes().Addr().As4()
	bytes[3] = byte(firstNode + number)
	return netip.AddrFrom4(bytes)
}

// LoadBalancers is where Services of type LoadBalancer get their addresses from.
func (p Plan) LoadBalancers() netip.Prefix { return p.prefix(1, 24) }

// Services is the range of ClusterIPs.
func (p Plan) Services() netip.Prefix { return p.prefix(64, 18) }

// DNS is the ClusterIP of the cluster's name server.
func (p Plan) DNS() netip.Addr {
	bytes := p.Services().Addr().As4()
	bytes[3] = 10
	return netip.AddrFrom4(bytes)
}

// Pods is the range of all pods.
func (p Plan) Pods() netip.Prefix { return p.prefix(128, 17) }

// NodePods is the range of one node's pods.
func (p Plan) NodePods(number int) netip.Prefix { return p.prefix(127+number, 24) }

// Check says whether so many nodes have addresses.
func (p Plan) Check(nodes int) error {
	if p.Index < 1 || p.Index > MaxClusters {
		return fmt.Errorf("there are addresses for %d clusters only", MaxClusters)
	}
	if nodes < 1 || nodes > MaxNodes {
		return fmt.Errorf("a cluster has 1 to %d nodes, not %d", MaxNodes, nodes)
	}
	return nil
}
