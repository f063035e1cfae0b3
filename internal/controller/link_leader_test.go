package controller

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

func elected(o *Options) { o.LeaderElect, o.LeaseDuration = true, 3*time.Second }

// replica is the same pair with another account of its own, so that the audit log tells them apart.
func (p *pair) replica(t *testing.T) *pair {
	t.Helper()
	other := *p
	other.controller = account(t, p.source, p.links, localRules)
	return &other
}

// expectLeader waits until somebody has the lease.
func (p *pair) expectLeader(t *testing.T) {
	t.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: p.links, Name: leaseName}}
	rig.Expect(t, p.source, lease)
}

// Issue 2 §5, LESSON-51: one replica writes, the other is warm and writes nothing but what it takes to
// become the leader, and takes over within seconds, Links that are going included.
func TestStandbyTakesOver(t *testing.T) {
	p := sharedPair(t)
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	gateway(t, gatewayAddress)
	key := p.link(t, "east", throughGateway())
	leader := p.run(t, elected)
	p.expectLeader(t)
	p.expectMirrors(t, "east", 1)
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))

	q := p.replica(t)
	mark, target := rig.Mark(t, q.source), rig.Mark(t, q.target)
	standby := q.run(t, elected)
	rig.ExpectSoon(t, func(context.Context) error {
		return someRequests(q.target, target, rig.By(q.remote.Name), rig.Watches())
	})
	p.export(t, "api", v1alpha3.ExportedRemoteDiscovery)
	p.expectMirrors(t, "east", 2)
	late := p.as(account(t, p.target, p.apps, anonymousRules)).link(t, "west")
	p.expectMirrors(t, "west", 2)
	expectLink(t, p.source, late, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	rig.ExpectRequests(t, q.source, mark, nil, rig.By(q.controller.Name), rig.Writes(), notLease)
	alive := prometheus.Labels{"target_cluster_name": "east"}
	expectGauge(t, leader, "gateway_alive", alive, 1)
	if n, err := testutil.GatherAndCount(standby.registry, "gateway_alive"); n != 0 || err != nil {
		t.Errorf("a standby tells of gateways, %d series: what reads each pod would count them twice (%v)", n, err)
	}

	start := time.Now()
	leader.stop(t)
	rig.Delete(t, p.source, linkNamed(late)) // while nobody leads
	p.export(t, "new", v1alpha3.ExportedRemoteDiscovery)
	rig.ExpectService(t, p.source, p.apps, "new-east")
	rig.ExpectGone(t, p.source, linkNamed(late))
	p.expectMirrors(t, "west", 0)
	expectGauge(t, standby, "gateway_alive", alive, 1)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the standby took over after %s", took)
	}
}

func notLease(r rig.Request) bool { return r.Resource != "leases" }

// LESSON-2: a leader that cannot renew its lease ends with an error, and leaves nothing behind; a
// fresh one goes on.
func TestLostLeaseEndsTheRun(t *testing.T) {
	source := rig.New(t, rig.ClusterOptions{Name: "stalling"})[0]
	p := newPair(t, source, rig.Shared(t, 2)[1])
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	key := p.link(t, "east")
	run := p.run(t, elected)
	p.expectLeader(t)
	before := p.expectMirrors(t, "east", 1)
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))

	do(t, source.Freeze)
	select {
	case err := <-run.ended:
		if err == nil {
			t.Error("the controller lost its lease and ended without an error")
		}
		run.ended = nil
	case <-time.After(rig.DefaultPatience):
		t.Error("the controller goes on without its lease")
	}
	do(t, source.Resume)
	p.run(t, elected)
	p.export(t, "new", v1alpha3.ExportedRemoteDiscovery)
	rig.ExpectService(t, p.source, p.apps, "new-east")
	rig.ExpectService(t, p.source, p.apps, "web-east", rig.IsStill(before[0]))
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
}
