package controller

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
	"github.com/linkspan/linkspan/test/rig"
)

// The usual pods of our egress in these tests.
const (
	egressPod1 = "10.42.0.7"
	egressPod2 = "10.42.1.7"
)

// throughEgress has clients go by our own egress.
func throughEgress(o *Options) { o.Mirror.GatewayClients = v1alpha3.GatewayClientsEgress }

// egress lists ready pods of our egress, as the EndpointSlice controller would.
func (p *pair) egress(t *testing.T, addresses ...string) *discoveryv1.EndpointSlice {
	t.Helper()
	slice := rig.EndpointSlice(rig.Service(p.links, "linkspan-egress"), addresses)
	rig.Create(t, p.source, slice)
	return slice
}

// ports reads the egress ports of a mirror.
func egressPorts(svc *corev1.Service) plan.EgressPorts {
	return plan.ParseEgressPorts(svc.Annotations[v1alpha3.AnnotationEgressPorts])
}

// leadsTo wants a mirror's slices to lead to the egress by the ports that the mirror says, and to name no
// gateway's identity.
func leadsTo(svc *corev1.Service) func([]*discoveryv1.EndpointSlice) error {
	want := egressPorts(svc)
	return func(slices []*discoveryv1.EndpointSlice) error {
		if len(slices) == 0 {
			return errors.New("there are no slices")
		}
		for _, slice := range slices {
			if identity, ok := slice.Annotations[v1alpha3.AnnotationRemoteGatewayIdentity]; ok {
				return fmt.Errorf("slice %s names the identity %s", slice.Name, identity)
			}
			for i, port := range svc.Spec.Ports {
				if len(slice.Ports) != len(svc.Spec.Ports) || *slice.Ports[i].Port != int32(want[port.Port]) || want[port.Port] == 0 {
					return fmt.Errorf("slice %s has the ports %v, want those of %q", slice.Name, slice.Ports, want)
				}
			}
		}
		return nil
	}
}

// Architecture decision 3: a mirror that leads to the egress costs two writes as well, has ports there that
// no other has, and costs nothing once it is there.
func TestTwoWritesPerMirrorThroughTheEgress(t *testing.T) {
	const mirrors = 20
	p := sharedPair(t)
	g := gateway(t, gatewayAddress)
	p.egress(t, egressPod1, egressPod2)
	for i := range mirrors {
		p.export(t, fmt.Sprintf("svc-%02d", i), v1alpha3.ExportedGateway, rig.WithPorts(rig.Port("http", 80), rig.Port("https", 443)))
	}
	from := rig.Mark(t, p.source)
	run := p.run(t, throughEgress)
	key := p.linkWithVerdict(t, "east")
	p.expectAllReady(t, "east", mirrors)
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: mirrors, Mirrored: mirrors})
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
	expectGauge(t, run, "linkspan_mirror_writes_total", nil, 2*mirrors)
	rig.ExpectRequests(t, p.source, from, map[string]int{
		"patch services": mirrors, "patch endpointslices.discovery.k8s.io": mirrors,
	}, p.byUs(), rig.Writes(), rig.Of("services", "endpointslices"))

	taken := map[uint16]string{}
	for _, svc := range p.mirrorsOf(t, "east") {
		rig.ExpectSlices(t, p.source, p.apps, svc.Name, rig.ReadyAddresses(egressPod1, egressPod2))
		rig.ExpectSlices(t, p.source, p.apps, svc.Name, leadsTo(&svc))
		for _, port := range egressPorts(&svc) {
			if other, twice := taken[port]; twice {
				t.Errorf("%s and %s both have the egress port %d", other, svc.Name, port)
			}
			taken[port] = svc.Name
		}
	}
	if len(taken) != 2*mirrors {
		t.Errorf("%d egress ports are given, want %d", len(taken), 2*mirrors)
	}

	idle := rig.Mark(t, p.source)
	expectProbed(t, g, 3)
	rig.ExpectRequests(t, p.source, idle, nil, p.byUs())
}

// Each change of the egress's pods is one write for each mirror, and a mirror that had a ready pod has one
// throughout.
func TestEgressPodsComeAndGo(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	pods := p.egress(t, egressPod1)
	p.export(t, "web", v1alpha3.ExportedGateway)
	p.export(t, "api", v1alpha3.ExportedGateway)
	p.link(t, "east", throughGateway())
	run := p.run(t, throughEgress)
	mirrors := []string{"web-east", "api-east"}
	for _, mirror := range mirrors {
		rig.ExpectSlices(t, p.source, p.apps, mirror, rig.ReadyAddresses(egressPod1))
	}
	history := p.watchSlices(t, "web-east")
	second := discoveryv1.Endpoint{
		Addresses: []string{egressPod2}, Zone: new("b"), NodeName: new("node-2"),
		Conditions: discoveryv1.EndpointConditions{Ready: new(false), Serving: new(false), Terminating: new(false)},
	}
	for _, step := range []struct {
		name   string
		change func(*discoveryv1.EndpointSlice)
		checks []func([]*discoveryv1.EndpointSlice) error
	}{
		{
			"a pod comes",
			func(s *discoveryv1.EndpointSlice) { s.Endpoints = append(s.Endpoints, second) },
			[]func([]*discoveryv1.EndpointSlice) error{rig.ReadyAddresses(egressPod1), rig.UnreadyAddresses(egressPod2)},
		},
		{
			"it becomes ready",
			func(s *discoveryv1.EndpointSlice) {
				s.Endpoints[1].Conditions.Ready, s.Endpoints[1].Conditions.Serving = new(true), new(true)
			},
			[]func([]*discoveryv1.EndpointSlice) error{rig.ReadyAddresses(egressPod1, egressPod2)},
		},
		{
			"the first one ends",
			func(s *discoveryv1.EndpointSlice) {
				s.Endpoints[0].Conditions = discoveryv1.EndpointConditions{Ready: new(false), Serving: new(true), Terminating: new(true)}
			},
			[]func([]*discoveryv1.EndpointSlice) error{rig.ReadyAddresses(egressPod2), endsGracefully},
		},
		{
			"and is gone",
			func(s *discoveryv1.EndpointSlice) { s.Endpoints = s.Endpoints[1:] },
			[]func([]*discoveryv1.EndpointSlice) error{rig.ReadyAddresses(egressPod2), rig.UnreadyAddresses()},
		},
	} {
		from := rig.Mark(t, p.source)
		rig.Update(t, p.source, pods, step.change)
		for _, mirror := range mirrors {
			for _, check := range step.checks {
				rig.ExpectSlices(t, p.source, p.apps, mirror, check)
			}
		}
		rig.ExpectRequests(t, p.source, from, map[string]int{"patch endpointslices.discovery.k8s.io": len(mirrors)}, p.byUs(), rig.Writes(), rig.Of("services", "endpointslices"))
		if t.Failed() {
			t.Fatalf("when %s", step.name)
		}
	}
	slice := rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(egressPod2))[0]
	if e := slice.Endpoints[0]; e.Zone == nil || *e.Zone != "b" || e.NodeName == nil || *e.NodeName != "node-2" || e.TargetRef != nil {
		t.Errorf("the pod is listed as %v, want its zone and node and no more", e)
	}
	history.Always(t, someReady)
	history.Unbroken(t)
	expectGauge(t, run, "service_mirror_endpoint_repairs", nil, 0)
}

// endsGracefully wants the one pod that is not ready to serve on for those who have no other.
func endsGracefully(slices []*discoveryv1.EndpointSlice) error {
	for _, e := range slices[0].Endpoints {
		if c := e.Conditions; !*c.Ready && (!*c.Serving || !*c.Terminating) {
			return fmt.Errorf("%v serves %t, terminating %t", e.Addresses, *c.Serving, *c.Terminating)
		}
	}
	return nil
}

// LESSON-22, MIR-11: a pod that cannot carry a client on takes none, so that clients fail at once; one live
// address of the gateway is enough.
func TestEgressIsReadyWhileTheGatewayIs(t *testing.T) {
	p := sharedPair(t)
	first, second := gateway(t, "203.0.113.11:4191"), gateway(t, "203.0.113.12:4191")
	p.egress(t, egressPod1, egressPod2)
	p.export(t, "web", v1alpha3.ExportedGateway)
	p.link(t, "east", rig.WithGateway("203.0.113.11,203.0.113.12", 4143, 4191))
	p.run(t, throughEgress)
	both := []string{egressPod1, egressPod2}
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(both...))
	history := p.watchSlices(t, "web-east")
	if err := first.Down(); err != nil {
		t.Fatal(err)
	}
	expectProbed(t, second, 4)
	history.Always(t, someReady)
	if err := second.Down(); err != nil {
		t.Fatal(err)
	}
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.UnreadyAddresses(both...))
	if err := first.Up(); err != nil {
		t.Fatal(err)
	}
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(both...))
	p.remoteReady(t, "web", false)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.UnreadyAddresses(both...))
	p.remoteReady(t, "web", true)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(both...))
}

// A cluster without an egress is told so: a new mirror is there and not ready, one that leads elsewhere
// stays as it is, and both lead to the egress once there is one.
func TestEgressThatIsMissing(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.export(t, "web", v1alpha3.ExportedGateway)
	key := p.link(t, "east", throughGateway())
	mesh := p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
	mesh.stop(t)

	history, from := p.watchSlices(t, "web-east"), rig.Mark(t, p.source)
	p.run(t, throughEgress)
	p.export(t, "new", v1alpha3.ExportedGateway)
	for _, service := range []string{"web", "new"} {
		p.expectAnyEvent(t, v1alpha3.ReasonEgressMissing, "--gateway-clients=mesh", service)
		p.expectEntry(t, key, service, metav1.ConditionFalse, v1alpha3.ReasonEgressMissing)
	}
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionSynced, metav1.ConditionTrue, v1alpha3.ReasonServicesWaiting)
	rig.ExpectSlices(t, p.source, p.apps, "new-east", rig.ReadyAddresses())
	rig.ExpectService(t, p.source, p.apps, "web-east", rig.LacksAnnotation(v1alpha3.AnnotationEgressPorts))
	rig.ExpectRequests(t, p.source, from, map[string]int{"patch services": 1, "patch endpointslices.discovery.k8s.io": 1},
		p.byUs(), rig.Writes(), rig.Of("services", "endpointslices"))

	p.egress(t, egressPod1)
	for _, mirror := range []string{"web-east", "new-east"} {
		svc := rig.ExpectService(t, p.source, p.apps, mirror, func(svc *corev1.Service) error {
			return same("egress ports", 1, len(egressPorts(svc)))
		})
		rig.ExpectSlices(t, p.source, p.apps, mirror, rig.ReadyAddresses(egressPod1))
		rig.ExpectSlices(t, p.source, p.apps, mirror, leadsTo(svc))
	}
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 2, Mirrored: 2})
	history.Always(t, someReady)
	history.Unbroken(t)
}
