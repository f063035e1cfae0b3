package controller

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// LESSON-16: a remote Service without a selector, with slices that somebody wrote by hand, is
// mirrored like any other, and later changes follow.
func TestServiceWithHandMadeSlices(t *testing.T) {
	p := sharedPair(t)
	p.link(t, "east")
	p.run(t)
	db := rig.Service(p.apps, "db", rig.Exported(v1alpha3.ExportedRemoteDiscovery), rig.WithPorts(rig.Port("pg", 5432)))
	one := rig.EndpointSlice(db, []string{"203.0.113.60"}, rig.HandMade())
	rig.Create(t, p.target, db, one)
	rig.ExpectSlices(t, p.source, p.apps, "db-east", rig.ReadyAddresses("203.0.113.60"))

	rig.Update(t, p.target, one, func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Addresses = []string{"203.0.113.61"} })
	rig.ExpectSlices(t, p.source, p.apps, "db-east", rig.ReadyAddresses("203.0.113.61"))
	rig.Update(t, p.target, one, func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Conditions.Ready = new(false) })
	rig.ExpectSlices(t, p.source, p.apps, "db-east", rig.UnreadyAddresses("203.0.113.61"))

	two := rig.EndpointSlice(db, []string{"203.0.113.62"}, rig.HandMade(), rig.SliceNamed("db-2"))
	rig.Create(t, p.target, two)
	rig.ExpectSlices(t, p.source, p.apps, "db-east", rig.ReadyAddresses("203.0.113.62"))
	rig.Delete(t, p.target, one)
	rig.ExpectSlices(t, p.source, p.apps, "db-east", func(s []*discoveryv1.EndpointSlice) error {
		if err := rig.UnreadyAddresses()(s); err != nil {
			return err
		}
		return rig.ReadyAddresses("203.0.113.62")(s)
	})
	// A second such service comes while the first is watched: neither loses anything.
	before := p.watchSlices(t, "db-east")
	mq := rig.Service(p.apps, "mq", rig.Exported(v1alpha3.ExportedRemoteDiscovery))
	rig.Create(t, p.target, mq, rig.EndpointSlice(mq, []string{"203.0.113.63"}, rig.HandMade()))
	rig.ExpectSlices(t, p.source, p.apps, "mq-east", rig.ReadyAddresses("203.0.113.63"))
	before.Always(t, someReady)
}

// LESSON-15: of each remote endpoint what means something here is kept, what does not is dropped.
func TestEndpointsAreCopiedWithoutTheirNodes(t *testing.T) {
	p := sharedPair(t)
	web := rig.Service(p.apps, "web", rig.Exported(v1alpha3.ExportedRemoteDiscovery), rig.WithSelector("app", "web"))
	slice := rig.EndpointSlice(web, []string{"203.0.113.50", "203.0.113.51"}, func(s *discoveryv1.EndpointSlice) {
		s.Endpoints[0].Hostname, s.Endpoints[0].Zone, s.Endpoints[0].NodeName = new("web-0"), new("zone-a"), new("node-1")
		s.Endpoints[0].TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: "web-0"}
		s.Endpoints[0].Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "zone-a"}}}
		s.Endpoints[1].Conditions = discoveryv1.EndpointConditions{Ready: new(false), Serving: new(true), Terminating: new(true)}
		s.Ports[0].AppProtocol = new("http")
	})
	rig.Create(t, p.target, web, slice)
	p.link(t, "east")
	p.run(t)
	list := rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.50"))
	if len(list) != 1 || len(list[0].Endpoints) != 2 {
		t.Fatalf("want one slice of two endpoints, got %v", list)
	}
	first, second := list[0].Endpoints[0], list[0].Endpoints[1]
	if first.Hostname == nil || *first.Hostname != "web-0" || first.Zone == nil || *first.Zone != "zone-a" {
		t.Errorf("hostname and zone are lost: %v", first)
	}
	if first.NodeName != nil || first.TargetRef != nil || first.Hints != nil {
		t.Errorf("node, pod and hints of the target are here: %v", first)
	}
	if c := second.Conditions; *c.Ready || !*c.Serving || !*c.Terminating {
		t.Errorf("conditions are lost: %v", c)
	}
	if port := list[0].Ports[0]; *port.Name != "http" || *port.Port != 80 || *port.AppProtocol != "http" {
		t.Errorf("port is lost: %v", port)
	}
}

// LESSON-26: 250 endpoints in three remote slices make three local ones, and a change of one endpoint
// is one write.
func TestManyEndpointsChangeLittle(t *testing.T) {
	p := sharedPair(t)
	big := rig.Service(p.apps, "big", rig.Exported(v1alpha3.ExportedRemoteDiscovery), rig.WithSelector("app", "big"))
	rig.Create(t, p.target, big)
	var all []string
	for i, n := range []int{100, 100, 50} {
		var addresses []string
		for j := range n {
			addresses = append(addresses, fmt.Sprintf("10.20.%d.%d", i, j+1))
		}
		all = append(all, addresses...)
		rig.Create(t, p.target, rig.EndpointSlice(big, addresses, rig.SliceNamed(fmt.Sprintf("big-%d", i))))
	}
	p.link(t, "east")
	run := p.run(t)
	list := rig.ExpectSlices(t, p.source, p.apps, "big-east", rig.ReadyAddresses(all...))
	const made = 4 // writes: the Service and its slices
	expectGauge(t, run, "linkspan_mirror_writes_total", nil, made)
	if len(list) != 3 {
		t.Errorf("there are %d slices, want 3", len(list))
	}
	for i, ready := range []bool{false, true} {
		want := all
		if !ready {
			want = without(all, "10.20.1.8")
		}
		from := rig.Mark(t, p.source)
		rig.Update(t, p.target, sliceNamed(p.apps, "big-1"), func(s *discoveryv1.EndpointSlice) { s.Endpoints[7].Conditions.Ready = &ready })
		rig.ExpectSlices(t, p.source, p.apps, "big-east", rig.ReadyAddresses(want...))
		expectGauge(t, run, "linkspan_mirror_writes_total", nil, float64(made+1+i))
		rig.ExpectRequests(t, p.source, from, map[string]int{"patch endpointslices.discovery.k8s.io": 1}, p.byUs(), rig.Of("services", "endpointslices"))
	}
}

func without(all []string, one string) []string {
	var out []string
	for _, address := range all {
		if address != one {
			out = append(out, address)
		}
	}
	return out
}

// LESSON-57: one slice per family, in both modes, on clusters with both.
func TestDualStack(t *testing.T) {
	both := rig.ClusterOptions{ServiceCIDRs: []string{rig.DefaultServiceCIDR, "fd00:10:96::/112"}}
	clusters := rig.New(t, both, both)
	p := newPair(t, clusters[0], clusters[1])
	p.neverForbidden(t)
	gateway(t, gatewayAddress)
	v6 := gateway(t, "[2001:db8::10]:4191")
	dual := func(svc *corev1.Service) { svc.Spec.IPFamilyPolicy = new(corev1.IPFamilyPolicyPreferDualStack) }
	p.export(t, "web", v1alpha3.ExportedGateway, dual)
	api := p.export(t, "api", v1alpha3.ExportedRemoteDiscovery, dual)
	rig.Create(t, p.target, rig.EndpointSlice(api, []string{"2001:db8::50"}, rig.SliceNamed("api-v6")))
	p.link(t, "east", rig.WithGateway(gatewayIP+",2001:db8::10", 4143, 4191))
	p.run(t)

	perFamily := func(v4, v6 string) func([]*discoveryv1.EndpointSlice) error {
		return func(list []*discoveryv1.EndpointSlice) error {
			if err := rig.ReadyAddresses(strings.Fields(v4 + " " + v6)...)(list); err != nil {
				return err
			}
			types := map[discoveryv1.AddressType]int{}
			for _, slice := range list {
				types[slice.AddressType]++
			}
			if len(list) != 2 || types[discoveryv1.AddressTypeIPv4] != 1 || types[discoveryv1.AddressTypeIPv6] != 1 {
				return fmt.Errorf("address types are %v, want one slice of each", types)
			}
			return nil
		}
	}
	rig.ExpectSlices(t, p.source, p.apps, "web-east", perFamily(gatewayIP, "2001:db8::10"))
	rig.ExpectSlices(t, p.source, p.apps, "api-east", perFamily("203.0.113.50", "2001:db8::50"))
	for _, name := range []string{"web-east", "api-east"} {
		rig.ExpectService(t, p.source, p.apps, name, func(svc *corev1.Service) error {
			return same("ClusterIPs", 2, len(svc.Spec.ClusterIPs))
		})
	}
	if err := v6.Down(); err != nil {
		t.Fatal(err)
	}
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.UnreadyAddresses("2001:db8::10"))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
}
