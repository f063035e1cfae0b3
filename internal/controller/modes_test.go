package controller

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// MODE-1, MIR-1, MIR-4: two services, one of each kind, one Link.
func TestBothModesOnOneLink(t *testing.T) {
	clusters := rig.Shared(t, 2)
	p := newPair(t, clusters[0], clusters[1])
	gateway(t, "203.0.113.10:4191")
	p.export(t, "web", "true")
	p.export(t, "api", "remote-discovery")
	key := p.link(t, "east", rig.WithGateway("203.0.113.10", 4143, 4191))
	p.run(t)

	rig.ExpectService(t, p.source, p.apps, "web-east", rig.HasLabel(v1alpha3.LabelClusterName, "east"))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.10"))
	rig.ExpectService(t, p.source, p.apps, "api-east", rig.HasLabel(v1alpha3.LabelRemoteDiscovery, "east"))
	rig.ExpectSlices(t, p.source, p.apps, "api-east", rig.ReadyAddresses("203.0.113.50"))
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
}
