package controller

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// portsOf are the egress ports that the mirrors of a cluster say they have.
func (p *pair) portsOf(t *testing.T, cluster string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, svc := range p.mirrorsOf(t, cluster) {
		out[svc.Name] = svc.Annotations[v1alpha3.AnnotationEgressPorts]
	}
	return out
}

// LESSON-42: ports are on the mirrors, so a restart finds them, and has nothing to write. A mirror that is
// deleted and made again has its port again.
func TestEgressPortsOutlastTheController(t *testing.T) {
	p := sharedPair(t)
	g := gateway(t, gatewayAddress)
	p.egress(t, egressPod1)
	for i := range 5 {
		p.export(t, fmt.Sprint("svc-", i), v1alpha3.ExportedGateway)
	}
	key := p.link(t, "east", throughGateway())
	first := p.run(t, throughEgress)
	p.expectAllReady(t, "east", 5)
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 5, Mirrored: 5})
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
	before := p.portsOf(t, "east")
	first.stop(t)

	from := rig.Mark(t, p.source)
	again := p.run(t, throughEgress)
	expectGauge(t, again, "linkspan_services", prometheus.Labels{"state": "Mirrored"}, 5)
	expectProbed(t, g, 3)
	rig.ExpectRequests(t, p.source, from, nil, p.byUs(), rig.Writes(), rig.Of("services", "endpointslices", "events"))

	old := rig.ExpectService(t, p.source, p.apps, "svc-0-east")
	rig.Delete(t, p.source, p.service("svc-0-east"))
	rig.ExpectService(t, p.source, p.apps, "svc-0-east", func(svc *corev1.Service) error {
		if svc.UID == old.UID {
			return errors.New("it is still the old one")
		}
		return nil
	})
	if diff := cmp.Diff(before, p.portsOf(t, "east")); diff != "" {
		t.Errorf("egress ports (-before +after):\n%s", diff)
	}
}

// What somebody writes over the ports of a mirror is put back, also what is written while no controller runs.
func TestEgressPortThatTwoMirrorsClaim(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.egress(t, egressPod1)
	p.export(t, "web", v1alpha3.ExportedGateway)
	p.link(t, "east", throughGateway())
	first := p.run(t, throughEgress)
	p.expectAllReady(t, "east", 1)
	web := rig.ExpectService(t, p.source, p.apps, "web-east")
	younger(t)
	p.export(t, "api", v1alpha3.ExportedGateway)
	p.expectAllReady(t, "east", 2)
	api := rig.ExpectService(t, p.source, p.apps, "api-east")

	copied := func(svc *corev1.Service) {
		svc.Annotations[v1alpha3.AnnotationEgressPorts] = web.Annotations[v1alpha3.AnnotationEgressPorts]
	}
	has := func(of *corev1.Service) func(*corev1.Service) error {
		return rig.HasAnnotation(v1alpha3.AnnotationEgressPorts, of.Annotations[v1alpha3.AnnotationEgressPorts])
	}
	rig.Update(t, p.source, p.service("api-east"), copied)
	rig.ExpectService(t, p.source, p.apps, "api-east", has(api))
	rig.ExpectService(t, p.source, p.apps, "web-east", has(web))
	first.stop(t)

	rig.Update(t, p.source, p.service("api-east"), copied)
	p.run(t, throughEgress)
	svc := rig.ExpectService(t, p.source, p.apps, "api-east", func(svc *corev1.Service) error {
		if svc.Annotations[v1alpha3.AnnotationEgressPorts] == web.Annotations[v1alpha3.AnnotationEgressPorts] {
			return errors.New("it still has the other mirror's port")
		}
		return nil
	})
	rig.ExpectSlices(t, p.source, p.apps, "api-east", leadsTo(svc))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", leadsTo(web))
	rig.ExpectService(t, p.source, p.apps, "web-east", has(web), rig.IsStill(web))
}

// younger waits until an object made now is younger than one made before: creation has whole seconds.
func younger(t *testing.T) {
	t.Helper()
	begin := time.Now().Unix()
	rig.ExpectSoon(t, func(context.Context) error {
		if time.Now().Unix() < begin+2 {
			return errors.New("it is the same second still")
		}
		return nil
	})
}

// Ports may run out: what finds none is refused with a reason and told once, what has some is left alone,
// and the moment a port has rested from its mirror another may have it.
func TestEgressPortsRunOut(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.egress(t, egressPod1)
	p.export(t, "one", v1alpha3.ExportedGateway)
	p.export(t, "two", v1alpha3.ExportedGateway)
	key := p.link(t, "east", throughGateway())
	p.run(t, throughEgress, func(o *Options) { o.Mirror.EgressPorts, o.Mirror.EgressPortHold = "20000-20001", 2*time.Second })
	p.expectAllReady(t, "east", 2)
	p.export(t, "three", v1alpha3.ExportedGateway)
	p.expectEntry(t, key, "three", metav1.ConditionFalse, v1alpha3.ReasonEgressPortsExhausted)
	p.expectLinkEvent(t, key, v1alpha3.ReasonEgressPortsExhausted, "three")
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 3, Mirrored: 2, Refused: 1})
	rig.ExpectNoService(t, p.source, p.apps, "three-east")
	two := rig.ExpectService(t, p.source, p.apps, "two-east")
	rig.Update(t, p.target, p.service("two"), rig.WithPorts(rig.Port("http", 80), rig.Port("more", 81)))
	p.expectEntry(t, key, "two", metav1.ConditionFalse, v1alpha3.ReasonEgressPortsExhausted)
	rig.ExpectSlices(t, p.source, p.apps, "two-east", leadsTo(two))
	rig.ExpectSlices(t, p.source, p.apps, "two-east", onlyReady(egressPod1))
	rig.Update(t, p.target, p.service("two"), rig.WithPorts(rig.Port("http", 80)))
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 3, Mirrored: 2, Refused: 1})

	one := rig.ExpectService(t, p.source, p.apps, "one-east")
	rig.Delete(t, p.target, p.service("one"))
	rig.ExpectNoService(t, p.source, p.apps, "one-east")
	start := time.Now()
	three := expectWithin(t, p.source, 10*time.Second, p.apps, "three-east")
	if rested := time.Since(start); rested < time.Second {
		t.Errorf("the port rested for %s only", rested)
	}
	if diff := cmp.Diff(egressPorts(one).String(), egressPorts(three).String()); diff != "" {
		t.Errorf("egress ports (-of the mirror that is gone +of the one that waited):\n%s", diff)
	}
	rig.ExpectSlices(t, p.source, p.apps, "three-east", onlyReady(egressPod1))
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 2, Mirrored: 2})
}

// SEC-4: who may write Services takes no port, and uses none up: what counts is on the slices, which only the
// controller writes. Services that are older than the mirror, and look more or less like one, claim all ports
// before it is made, and its own port while no controller runs.
func TestEgressPortsThatServicesOfOthersClaim(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.egress(t, egressPod1)
	evil := p.source.Namespace(t)
	claims := rig.WithAnnotation(v1alpha3.AnnotationEgressPorts, "80=20000,81=20001,82=20002")
	ports := rig.WithPorts(rig.Port("a", 80), rig.Port("b", 81), rig.Port("c", 82))
	mirrored := rig.WithLabel(v1alpha3.LabelMirroredService, "true")
	rig.Create(t, p.source,
		rig.Service(evil, "none", mirrored, claims, ports),
		rig.Service(evil, "web-nowhere", mirrored, claims, ports, rig.WithLabel(v1alpha3.LabelClusterName, "nowhere"),
			rig.WithAnnotation(v1alpha3.AnnotationRemoteServiceFQName, "web."+evil+".svc.cluster.local")))
	younger(t)
	p.export(t, "web", v1alpha3.ExportedGateway)
	p.link(t, "east", throughGateway())
	small := func(o *Options) { o.Mirror.EgressPorts = "20000-20002" }
	first := p.run(t, throughEgress, small)
	p.expectAllReady(t, "east", 1)
	web := rig.ExpectService(t, p.source, p.apps, "web-east")
	first.stop(t)

	stolen := rig.WithAnnotation(v1alpha3.AnnotationEgressPorts, web.Annotations[v1alpha3.AnnotationEgressPorts])
	rig.Update(t, p.source, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: evil, Name: "web-nowhere"}}, stolen)
	rig.Update(t, p.source, p.service("web-east"), rig.WithAnnotation(v1alpha3.AnnotationEgressPorts, "80=20099"))
	p.export(t, "api", v1alpha3.ExportedGateway)
	p.run(t, throughEgress, small)
	p.expectAllReady(t, "east", 2)
	has := rig.HasAnnotation(v1alpha3.AnnotationEgressPorts, web.Annotations[v1alpha3.AnnotationEgressPorts])
	web = rig.ExpectService(t, p.source, p.apps, "web-east", has, rig.IsStill(web))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", leadsTo(web))
	api := rig.ExpectService(t, p.source, p.apps, "api-east")
	rig.ExpectSlices(t, p.source, p.apps, "api-east", leadsTo(api))
}
