package controller

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// SEC-4: what a target can make us create has a limit, which many workers at once do not pass.
func TestMirrorsOfOneLinkAreLimited(t *testing.T) {
	p := sharedPair(t)
	const exported, limit = 12, 3
	for i := range exported {
		p.export(t, fmt.Sprintf("svc-%02d", i), v1alpha3.ExportedRemoteDiscovery)
	}
	mirrors := rig.Watch(t, p.source, &corev1.Service{}, rig.In(p.apps))
	key := p.link(t, "east")
	p.run(t, func(o *Options) { o.Mirror.MaxMirrors, o.Mirror.Workers = limit, 8 })
	link := p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: exported, Mirrored: limit, Refused: exported - limit})
	p.expectLinkEvent(t, key, v1alpha3.ReasonLimitReached, "")
	mirrors.Always(t, func(m rig.Moment) error {
		if len(m.Objects) > limit {
			return fmt.Errorf("there are %d mirrors, and at most %d may be", len(m.Objects), limit)
		}
		return nil
	})
	if first := link.Status.MirrorServices[0].Conditions[0]; first.Reason != v1alpha3.ReasonLimitReached {
		t.Errorf("the first entry is %s, want what is refused first", first.Reason)
	}
}

// SEC-4: a target must not send our clients to addresses inside this cluster.
func TestAddressesOfThisClusterAreDropped(t *testing.T) {
	p := sharedPair(t)
	web := rig.Service(p.apps, "web", rig.Exported(v1alpha3.ExportedRemoteDiscovery), rig.WithSelector("app", "web"))
	rig.Create(t, p.target, web, rig.EndpointSlice(web, []string{"10.42.0.7", "203.0.113.50", "10.96.0.1"}))
	p.link(t, "east")
	p.run(t, func(o *Options) { o.Mirror.LocalNetworks = []string{"10.42.0.0/16", "10.96.0.0/16"} })
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.50"))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.UnreadyAddresses())
	p.expectAnyEvent(t, v1alpha3.ReasonEndpointsDropped, "in a network of this cluster", "web")
}

// SEC-4: nor to loopback or link-local addresses, here of a gateway.
func TestGatewayAddressesThatReachThisNodeAreDropped(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.export(t, "web", v1alpha3.ExportedGateway)
	p.link(t, "east", rig.WithGateway("127.0.0.1,"+gatewayIP+",169.254.169.254,::1", 4143, 4191))
	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.UnreadyAddresses())
	p.expectAnyEvent(t, v1alpha3.ReasonEndpointsDropped, "loopback", "web")
}

// Oversized metadata is cut off with a reason, and the mirror is made all the same.
func TestOversizedMetadataIsCutOff(t *testing.T) {
	p := sharedPair(t)
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery,
		rig.WithAnnotation("example.com/huge", strings.Repeat("x", 100<<10)), rig.WithAnnotation("example.com/small", "x"))
	p.link(t, "east")
	p.run(t)
	rig.ExpectService(t, p.source, p.apps, "web-east", rig.HasAnnotation("example.com/small", "x"), rig.LacksAnnotation("example.com/huge"))
	p.expectAnyEvent(t, v1alpha3.ReasonMetadataDropped, "example.com/huge", "web")
}
