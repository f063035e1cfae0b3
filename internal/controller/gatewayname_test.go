package controller

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

const gatewayName = "gateway.example.com"

// names is a resolver that knows one name, and nothing while that has no address.
type names struct{ gateway atomic.Pointer[netip.Addr] }

func (n *names) leadsTo(address string) { n.gateway.Store(new(netip.MustParseAddr(address))) }

// LookupNetIP implements probe.Resolver.
func (n *names) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	address := n.gateway.Load()
	switch {
	case host != gatewayName || address == nil:
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	case network != "ip4":
		return nil, nil
	}
	return []netip.Addr{*address}, nil
}

// Issue 2 §4, MIR-2: a gateway's name is looked up again by itself, and every mirror leads where it leads now, without a
// moment in which it leads nowhere.
func TestMirrorsFollowTheNameOfAGateway(t *testing.T) {
	p := sharedPair(t)
	gateway(t, "203.0.113.14:4191")
	gateway(t, "203.0.113.15:4191")
	p.export(t, "web", v1alpha3.ExportedGateway)
	p.export(t, "api", v1alpha3.ExportedGateway)
	key := p.link(t, "east", rig.WithGateway(gatewayName, 4143, 4191))
	var dns names
	dns.leadsTo("203.0.113.14")
	p.run(t, func(o *Options) {
		o.Resolver, o.Probe.ResolveInterval = &dns, 100*time.Millisecond
	})
	both := func(address string) {
		t.Helper()
		for _, mirror := range []string{"web-east", "api-east"} {
			rig.ExpectSlices(t, p.source, p.apps, mirror, rig.ReadyAddresses(address))
		}
	}
	both("203.0.113.14")
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionGatewayReady, metav1.ConditionTrue, v1alpha3.ReasonGatewayAlive)
	web := p.watchSlices(t, "web-east")

	dns.leadsTo("203.0.113.15")
	both("203.0.113.15")
	web.Always(t, someReady)
}
