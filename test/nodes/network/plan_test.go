package network

import (
	"net/netip"
	"testing"
)

// Everything in a cluster has addresses of its own, and no other cluster, nor a test network of the rig, has them too.
func TestAddressesAreDistinct(t *testing.T) {
	var all []netip.Prefix
	for _, text := range []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "10.96.0.0/16"} {
		all = append(all, netip.MustParsePrefix(text))
	}
	for _, index := range []int{1, 2, MaxClusters} {
		plan := Plan{Index: index}
		if err := plan.Check(MaxNodes); err != nil {
			t.Fatal(err)
		}
		all = append(all, plan.Nodes(), plan.LoadBalancers(), plan.Services(), plan.Pods())
		for _, address := range []netip.Addr{plan.Gateway(), plan.Node(1), plan.Node(MaxNodes)} {
			if !plan.Nodes().Contains(address) {
				t.Errorf("cluster %d: %s is not in the network of nodes %s", index, address, plan.Nodes())
			}
		}
		if !plan.Services().Contains(plan.DNS()) || !plan.Pods().Overlaps(plan.NodePods(1)) || !plan.Pods().Overlaps(plan.NodePods(MaxNodes)) {
			t.Errorf("cluster %d: %s, %s or %s is out of its range", index, plan.DNS(), plan.NodePods(1), plan.NodePods(MaxNodes))
		}
		if plan.NodePods(1).Overlaps(plan.NodePods(2)) {
			t.Errorf("cluster %d: two nodes have the same pods", index)
		}
	}
	for i, one := range all {
		for _, other := range all[:i] {
			if one.Overlaps(other) {
				t.Errorf("%s and %s overlap", one, other)
			}
		}
	}
}

func TestTooMuchHasNoAddresses(t *testing.T) {
	for name, check := range map[string]error{
		"clusters": Plan{Index: MaxClusters + 1}.Check(1),
		"nodes":    Plan{Index: 1}.Check(MaxNodes + 1),
		"no node":  Plan{Index: 1}.Check(0),
	} {
		if check == nil {
			t.Errorf("%s: too many or too few are taken", name)
		}
	}
}
