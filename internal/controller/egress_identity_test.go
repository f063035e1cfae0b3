package controller

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// GW-10: the egress dials no gateway that it cannot verify, so a Link that names nobody to verify is not ready,
// says what to set, and leads no clients to where all would be refused. Clients with a mesh go on.
func TestEgressNeedsTheGatewaysIdentity(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.egress(t, egressPod1)
	p.export(t, "web", v1alpha3.ExportedGateway)
	identity := func(name string) rig.LinkOption {
		return func(l *v1alpha3.Link) { l.Spec.GatewayIdentity = name }
	}
	key := p.link(t, "east", throughGateway(), identity("gateway.east.example"))
	p.run(t, throughEgress)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", onlyReady(egressPod1))
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)

	rig.Update(t, p.source, linkNamed(key), identity(""))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.UnreadyAddresses(egressPod1))
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionGatewayReady, metav1.ConditionFalse, v1alpha3.ReasonGatewayIdentityMissing)
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionFalse, v1alpha3.ReasonGatewayIdentityMissing)
	p.expectEntry(t, key, "web", metav1.ConditionFalse, v1alpha3.ReasonGatewayIdentityMissing)
	p.export(t, "api", v1alpha3.ExportedGateway)
	p.expectEntry(t, key, "api", metav1.ConditionFalse, v1alpha3.ReasonGatewayIdentityMissing)
	rig.ExpectNoService(t, p.source, p.apps, "api-east")

	rig.Update(t, p.source, linkNamed(key), clients("mesh"))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", onlyReady(gatewayIP))
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionGatewayReady, metav1.ConditionTrue, v1alpha3.ReasonGatewayAlive)
	rig.Update(t, p.source, linkNamed(key), clients(""))
	rig.Update(t, p.source, linkNamed(key), identity("gateway.east.example"))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", onlyReady(egressPod1))
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
}
