package controller

import (
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// MIR-2, MIR-12, LESSON-37: a conversion keeps the Service and its ClusterIP, and the new endpoints
// are there before the old ones go.
func TestSwitchingTheModeKeepsServiceAndEndpoints(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	web := p.export(t, "web", v1alpha3.ExportedGateway)
	p.link(t, "east", throughGateway())
	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	before := rig.ExpectService(t, p.source, p.apps, "web-east")
	services, slices := p.watchService(t, "web-east"), p.watchSlices(t, "web-east")

	modes := []struct {
		value, address string
		mark           func(*corev1.Service) error
	}{
		{v1alpha3.ExportedRemoteDiscovery, "203.0.113.50", rig.HasLabel(v1alpha3.LabelRemoteDiscovery, "east")},
		{v1alpha3.ExportedGateway, gatewayIP, rig.LacksLabel(v1alpha3.LabelRemoteDiscovery)},
	}
	for range 10 {
		for _, mode := range modes {
			rig.Update(t, p.target, web, func(svc *corev1.Service) { svc.Labels[v1alpha3.LabelExported] = mode.value })
			// What the EndpointSlice controller does a moment later.
			rig.Update(t, p.target, p.slice("web"), func(slice *discoveryv1.EndpointSlice) { slice.Labels[v1alpha3.LabelExported] = mode.value })
			rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(mode.address))
			rig.ExpectService(t, p.source, p.apps, "web-east", mode.mark)
		}
	}
	services.Always(t, alwaysStill(before))
	services.Unbroken(t)
	slices.Always(t, someReady)
	slices.Unbroken(t)
	p.expectEvent(t, "Service", p.apps, "web-east", v1alpha3.ReasonMirrorConverted, "with its cluster IP")
}

// MIR-3: through a gateway that the Link does not have nothing can be reached, so there is no mirror,
// and the Link says why. A gateway that comes later mends it.
func TestServiceThatAsksForAMissingGatewayIsReported(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.export(t, "web", v1alpha3.ExportedGateway)
	p.export(t, "api", v1alpha3.ExportedRemoteDiscovery)
	key := p.link(t, "east")
	p.run(t)

	rig.ExpectService(t, p.source, p.apps, "api-east")
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionSynced, metav1.ConditionTrue, v1alpha3.ReasonServicesRefused)
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionGatewayReady, metav1.ConditionTrue, v1alpha3.ReasonNoGateway)
	p.expectLinkEvent(t, key, v1alpha3.ReasonGatewayMissing, "web")
	p.expectEntry(t, key, "web", metav1.ConditionFalse, v1alpha3.ReasonGatewayMissing)
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 2, Mirrored: 1, Refused: 1})
	rig.ExpectNoService(t, p.source, p.apps, "web-east")

	rig.Update(t, p.source, linkNamed(key), throughGateway())
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 2, Mirrored: 2})
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
}

// LESSON-22: a mirror is ready while the gateway is alive and the remote service has a ready endpoint,
// whatever else changes.
func TestReadinessIsGatewayAndRemote(t *testing.T) {
	p := sharedPair(t)
	g := gateway(t, gatewayAddress)
	web := p.export(t, "web", v1alpha3.ExportedGateway)
	p.remoteReady(t, "web", false)
	p.link(t, "east", throughGateway())
	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.UnreadyAddresses(gatewayIP))

	slices := p.watchSlices(t, "web-east")
	for i := range 20 {
		rig.Update(t, p.target, web, func(svc *corev1.Service) {
			svc.Annotations = map[string]string{"example.com/round": strconv.Itoa(i)}
		})
		rig.ExpectService(t, p.source, p.apps, "web-east", rig.HasAnnotation("example.com/round", strconv.Itoa(i)))
	}
	slices.Always(t, noneReady)

	p.remoteReady(t, "web", true)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	if err := g.Down(); err != nil {
		t.Fatal(err)
	}
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.UnreadyAddresses(gatewayIP))
	p.remoteReady(t, "web", false)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", func(s []*discoveryv1.EndpointSlice) error {
		return hasAnnotation(s, v1alpha3.AnnotationRemoteReady, "false")
	})
	down := p.watchSlices(t, "web-east")
	if err := g.Up(); err != nil {
		t.Fatal(err)
	}
	expectProbed(t, g, 4)
	down.Always(t, noneReady)
	p.remoteReady(t, "web", true)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
}
