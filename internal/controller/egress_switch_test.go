package controller

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// clients has a Link say who dials its gateway; an empty word takes it back.
func clients(word string) rig.LinkOption {
	return func(l *v1alpha3.Link) {
		if l.Annotations == nil {
			l.Annotations = map[string]string{}
		}
		l.Annotations[v1alpha3.AnnotationGatewayClients] = word
		if word == "" {
			delete(l.Annotations, v1alpha3.AnnotationGatewayClients)
		}
	}
}

// onlyReady wants ready endpoints at one address, and no other endpoints.
func onlyReady(address string) func([]*discoveryv1.EndpointSlice) error {
	return func(slices []*discoveryv1.EndpointSlice) error {
		if err := rig.UnreadyAddresses()(slices); err != nil {
			return err
		}
		return rig.ReadyAddresses(address)(slices)
	}
}

// MIR-12: whichever way clients go, there is no moment without a ready endpoint when it changes, and the
// mirror is the same Service. What is left of a way is cleared away.
func TestChangingTheWayToTheGatewayLeavesNoGap(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.egress(t, egressPod1)
	web := p.export(t, "web", v1alpha3.ExportedGateway)
	key := p.link(t, "east", throughGateway())
	run := p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", onlyReady(gatewayIP))
	before := rig.ExpectService(t, p.source, p.apps, "web-east")
	services, slices := p.watchService(t, "web-east"), p.watchSlices(t, "web-east")

	asks := func(word string) func() {
		return func() { rig.Update(t, p.source, linkNamed(key), clients(word)) }
	}
	exports := func(mode string) func() {
		return func() {
			rig.Update(t, p.target, web, func(svc *corev1.Service) { svc.Labels[v1alpha3.LabelExported] = mode })
			rig.Update(t, p.target, p.slice("web"), func(slice *discoveryv1.EndpointSlice) { slice.Labels[v1alpha3.LabelExported] = mode })
		}
	}
	for round := range 3 {
		for _, step := range []struct {
			name    string
			change  func()
			address string
			egress  bool
		}{
			{"mesh to egress", asks("egress"), egressPod1, true},
			{"egress to pod to pod", exports(v1alpha3.ExportedRemoteDiscovery), "203.0.113.50", false},
			{"pod to pod to egress", exports(v1alpha3.ExportedGateway), egressPod1, true},
			{"egress to mesh", asks("mesh"), gatewayIP, false},
		} {
			step.change()
			rig.ExpectSlices(t, p.source, p.apps, "web-east", onlyReady(step.address))
			check := rig.LacksAnnotation(v1alpha3.AnnotationEgressPorts)
			if step.egress {
				check = func(svc *corev1.Service) error { return same("egress ports", 1, len(egressPorts(svc))) }
			}
			rig.ExpectService(t, p.source, p.apps, "web-east", check)
			if t.Failed() {
				t.Fatalf("round %d, from %s", round, step.name)
			}
		}
	}
	services.Always(t, alwaysStill(before))
	services.Unbroken(t)
	slices.Always(t, someReady)
	slices.Always(t, announced(services))
	slices.Unbroken(t)
	expectGauge(t, run, "service_mirror_endpoint_repairs", nil, 0)
}

// announced wants slices that lead to the egress to come after the annotation by which the pods know their
// ports, and to go before it.
func announced(services *rig.History) func(rig.Moment) error {
	return func(m rig.Moment) error {
		for _, object := range m.Objects {
			slice := object.(*discoveryv1.EndpointSlice)
			if slice.Name != "web-east-egress-ipv4" {
				continue
			}
			for _, at := range services.Moments() {
				// The two watches are told one after the other: what was written earlier has a lower version.
				svc := at.Objects[0].(*corev1.Service)
				if svc.ResourceVersion < slice.ResourceVersion && len(svc.ResourceVersion) == len(slice.ResourceVersion) &&
					egressPorts(svc).String() == fmt.Sprintf("80=%d", *slice.Ports[0].Port) {
					return nil
				}
			}
			return fmt.Errorf("slice %s leads to port %d, which no mirror before it tells", slice.Name, *slice.Ports[0].Port)
		}
		return nil
	}
}

// Without a word from anybody clients go by the mesh where there is one. It may come and go while the
// controller runs, and a Link that says something wins.
func TestLinkerdControlPlaneComesAndGoes(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.egress(t, egressPod1)
	p.export(t, "web", v1alpha3.ExportedGateway)
	key := p.link(t, "east", throughGateway())
	p.run(t, func(o *Options) { o.Mirror.GatewayClients = "auto" })
	rig.ExpectSlices(t, p.source, p.apps, "web-east", onlyReady(egressPod1))
	history := p.watchSlices(t, "web-east")

	linkerd := p.source.Namespace(t)
	plane := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: linkerd}}
	mark := func(value string) {
		t.Helper()
		rig.Update(t, p.source, plane, func(ns *corev1.Namespace) { ns.Labels[v1alpha3.LabelIsControlPlane] = value })
	}
	mark("true")
	rig.ExpectSlices(t, p.source, p.apps, "web-east", onlyReady(gatewayIP))
	rig.Update(t, p.source, linkNamed(key), clients("egress"))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", onlyReady(egressPod1))
	mark("false")
	rig.Update(t, p.source, linkNamed(key), clients("mesh"))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", onlyReady(gatewayIP))
	rig.Update(t, p.source, linkNamed(key), clients(""))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", onlyReady(egressPod1))
	mark("true")
	rig.ExpectSlices(t, p.source, p.apps, "web-east", onlyReady(gatewayIP))
	rig.Delete(t, p.source, plane)
	remove(t, p.source, linkerd)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", onlyReady(egressPod1))
	history.Always(t, someReady)
	history.Unbroken(t)
}

// LESSON-55: a word that means nothing is told and moves no traffic while the controller runs; one that never read another
// goes by its own setting. Whatever the word, the Link stays in service.
func TestLinkWithAWayThatDoesNotExist(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.egress(t, egressPod1)
	p.export(t, "web", v1alpha3.ExportedGateway)
	key := p.link(t, "east", throughGateway(), clients("egress"))
	first := p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", onlyReady(egressPod1))
	told := func(word string) wanted {
		return wanted{
			kind: v1alpha3.ConditionReady, status: metav1.ConditionTrue, reason: v1alpha3.ReasonReady,
			says: fmt.Sprintf("metadata.annotations[linkspan.io/gateway-clients]: %q must be mesh or egress", word),
		}
	}
	history := p.watchSlices(t, "web-east")
	for _, word := range []string{"meshed", "mush"} {
		rig.Update(t, p.source, linkNamed(key), clients(word))
		expectLink(t, p.source, key, told(word))
	}
	p.export(t, "api", v1alpha3.ExportedGateway)
	rig.ExpectSlices(t, p.source, p.apps, "api-east", onlyReady(egressPod1))
	history.Always(t, func(m rig.Moment) error {
		var list []*discoveryv1.EndpointSlice
		for _, object := range m.Objects {
			list = append(list, object.(*discoveryv1.EndpointSlice))
		}
		return onlyReady(egressPod1)(list)
	})
	first.stop(t)

	p.run(t) // with --gateway-clients=mesh
	rig.ExpectSlices(t, p.source, p.apps, "web-east", onlyReady(gatewayIP))
	expectLink(t, p.source, key, told("mush"))
}

// While the target says nothing, a mirror follows the gateway and the pods of the egress; what it has to do
// for that is on the mirror itself, so a restart changes nothing (LESSON-4).
func TestEgressIsFollowedWithoutTheTarget(t *testing.T) {
	p := sharedPair(t)
	g := gateway(t, gatewayAddress)
	pods := p.egress(t, egressPod1)
	p.export(t, "web", v1alpha3.ExportedGateway)
	key := p.link(t, "east", throughGateway())
	first := p.run(t, throughEgress)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", onlyReady(egressPod1))
	svc := rig.ExpectService(t, p.source, p.apps, "web-east")
	first.stop(t)
	rig.Delete(t, p.source, p.secret(t, "east"))

	p.run(t, throughEgress)
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionCredentialsValid, metav1.ConditionFalse, v1alpha3.ReasonCredentialsMissing)
	rig.Update(t, p.source, pods, func(s *discoveryv1.EndpointSlice) {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{egressPod2}})
	})
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(egressPod1, egressPod2))
	if err := g.Down(); err != nil {
		t.Fatal(err)
	}
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.UnreadyAddresses(egressPod1, egressPod2))
	if err := g.Up(); err != nil {
		t.Fatal(err)
	}
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(egressPod1, egressPod2))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", leadsTo(svc))
}
