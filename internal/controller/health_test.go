package controller

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// LESSON-30: each address of a gateway is judged on its own, and mirrors that do not use the gateway
// do not notice.
func TestEachGatewayAddressHasItsOwnVerdict(t *testing.T) {
	p := sharedPair(t)
	gateway(t, "203.0.113.11:4191")
	second := gateway(t, "203.0.113.12:4191")
	third := gateway(t, "203.0.113.13:4191")
	p.export(t, "web", v1alpha3.ExportedGateway)
	p.export(t, "api", v1alpha3.ExportedRemoteDiscovery)
	key := p.link(t, "east", rig.WithGateway("203.0.113.11,203.0.113.12,203.0.113.13", 4143, 4191))
	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.11", "203.0.113.12", "203.0.113.13"))
	rig.ExpectSlices(t, p.source, p.apps, "api-east", rig.ReadyAddresses("203.0.113.50"))
	web, direct := p.watchSlices(t, "web-east"), p.watchSlices(t, "api-east")
	mirror := rig.ExpectService(t, p.source, p.apps, "web-east")

	if err := second.Down(); err != nil {
		t.Fatal(err)
	}
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.UnreadyAddresses("203.0.113.12"))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.11", "203.0.113.13"))
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionGatewayReady, metav1.ConditionTrue, v1alpha3.ReasonGatewayPartly)
	third.Answer(503)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.11"))

	third.Answer(200)
	if err := second.Up(); err != nil {
		t.Fatal(err)
	}
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.11", "203.0.113.12", "203.0.113.13"))
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionGatewayReady, metav1.ConditionTrue, v1alpha3.ReasonGatewayAlive)
	web.Always(t, someReady)
	rig.ExpectService(t, p.source, p.apps, "web-east", rig.IsStill(mirror), func(svc *corev1.Service) error {
		return same("resourceVersion: the Service has no part in this", mirror.ResourceVersion, svc.ResourceVersion)
	})
	if n := len(direct.Moments()); n != 1 {
		t.Errorf("the slices of the pod-to-pod mirror changed %d times", n-1)
	}
}

// LESSON-3: a gateway that is dead when the controller starts is dead, not unknown for ever: mirrors
// that were ready are so no more, and new ones never are.
func TestGatewayThatIsDeadAtStart(t *testing.T) {
	p := sharedPair(t)
	g := gateway(t, gatewayAddress)
	p.export(t, "web", v1alpha3.ExportedGateway)
	key := p.link(t, "east", throughGateway())
	run := p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	run.stop(t)
	if err := g.Down(); err != nil {
		t.Fatal(err)
	}
	late := p.watchSlices(t, "late-east")
	p.export(t, "late", v1alpha3.ExportedGateway)
	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.UnreadyAddresses(gatewayIP))
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionGatewayReady, metav1.ConditionFalse, v1alpha3.ReasonGatewayDead)
	rig.ExpectSlices(t, p.source, p.apps, "late-east", rig.UnreadyAddresses(gatewayIP))
	late.Always(t, noneReady)

	if err := g.Up(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web-east", "late-east"} {
		rig.ExpectSlices(t, p.source, p.apps, name, rig.ReadyAddresses(gatewayIP))
	}
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionGatewayReady, metav1.ConditionTrue, v1alpha3.ReasonGatewayAlive)
}

// LESSON-29: a change of the gateway in the Link flows to every mirror; the new address serves before
// the old one is forgotten only as far as it is known to be alive.
func TestGatewayOfALinkChanges(t *testing.T) {
	p := sharedPair(t)
	gateway(t, "203.0.113.11:4191")
	gateway(t, "203.0.113.12:4191")
	p.export(t, "web", v1alpha3.ExportedGateway)
	key := p.link(t, "east", rig.WithGateway("203.0.113.11", 4143, 4191))
	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.11"))
	mirror := rig.ExpectService(t, p.source, p.apps, "web-east")
	rig.Update(t, p.source, linkNamed(key), rig.WithGateway("203.0.113.12", 30143, 4191))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", func(list []*discoveryv1.EndpointSlice) error {
		if err := rig.ReadyAddresses("203.0.113.12")(list); err != nil {
			return err
		}
		return same("port", 30143, *list[0].Ports[0].Port)
	})
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.UnreadyAddresses())
	rig.ExpectService(t, p.source, p.apps, "web-east", rig.IsStill(mirror))
}
