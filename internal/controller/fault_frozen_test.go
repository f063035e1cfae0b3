package controller

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// own is a pair whose target may be broken.
func own(t *testing.T, options rig.ClusterOptions) *pair {
	t.Helper()
	return newPair(t, rig.Shared(t, 1)[0], rig.New(t, options)[0])
}

func do(t *testing.T, act func() error) {
	t.Helper()
	if err := act(); err != nil {
		t.Fatal(err)
	}
}

// LESSON-4, LESSON-41, LESSON-42: a frozen target is noticed in time; its mirrors stay as they are,
// but for the gateway; when it goes on nothing is written that was not missed.
func TestFrozenTarget(t *testing.T) {
	p := own(t, rig.ClusterOptions{Name: "frozen"})
	g := gateway(t, gatewayAddress)
	p.export(t, "web", v1alpha3.ExportedGateway)
	p.export(t, "api", v1alpha3.ExportedRemoteDiscovery)
	key := p.link(t, "east", throughGateway())
	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	rig.ExpectSlices(t, p.source, p.apps, "api-east", rig.ReadyAddresses("203.0.113.50"))
	before := p.expectMirrors(t, "east", 2)
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))

	mark := rig.Mark(t, p.source)
	do(t, p.target.Freeze)
	expectLinkWithin(t, p.source, promised, key, isFalse(v1alpha3.ConditionConnected, v1alpha3.ReasonConnectionTimeout, ""),
		isFalse(v1alpha3.ConditionReady, v1alpha3.ReasonConnectionTimeout, ""))
	sameMirrors(t, p, mark, before, p.expectMirrors(t, "east", 2))

	do(t, g.Down)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.UnreadyAddresses(gatewayIP))
	do(t, g.Up)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	rig.ExpectSoon(t, func(context.Context) error { // a watch is faster than the audit log
		requests, err := p.source.Requests(mark, p.mirrorWrites()...)
		if err == nil && len(requests) != 2 {
			err = fmt.Errorf("%d writes for down and up, want 2", len(requests))
		}
		return err
	})

	mark = rig.Mark(t, p.source)
	do(t, p.target.Resume)
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	sameMirrors(t, p, mark, before, p.expectMirrors(t, "east", 2))
	p.export(t, "new", v1alpha3.ExportedRemoteDiscovery)
	rig.ExpectService(t, p.source, p.apps, "new-east")
}

// LESSON-4: a controller that starts while the target is gone follows the gateway all the same, and
// finds everything in place when both are back.
func TestRestartWhileTheTargetIsGone(t *testing.T) {
	p := own(t, rig.ClusterOptions{Name: "gone"})
	g := gateway(t, gatewayAddress)
	p.export(t, "web", v1alpha3.ExportedGateway)
	key := p.link(t, "east", throughGateway())
	run := p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	before := p.expectMirrors(t, "east", 1)
	run.stop(t)
	do(t, p.target.Stop)
	do(t, g.Down)

	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.UnreadyAddresses(gatewayIP))
	expectLink(t, p.source, key, isFalse(v1alpha3.ConditionConnected, v1alpha3.ReasonConnectionRefused, ""), isFalse(v1alpha3.ConditionGatewayReady, v1alpha3.ReasonGatewayDead, ""))
	if err := p.target.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	do(t, g.Up)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	rig.ExpectService(t, p.source, p.apps, "web-east", rig.IsStill(before[0]))
}

// LESSON-42: an API server that is killed and back loses nothing and changes nothing.
func TestTargetKilledAndBack(t *testing.T) {
	p := own(t, rig.ClusterOptions{Name: "killed"})
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	key := p.link(t, "east")
	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.50"))
	before := p.expectMirrors(t, "east", 1)
	mark := rig.Mark(t, p.source)
	start := time.Now()
	do(t, p.target.Kill)
	if err := p.target.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("the API server was away for %s", time.Since(start).Round(10*time.Millisecond))
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	sameMirrors(t, p, mark, before, p.expectMirrors(t, "east", 1))
	p.export(t, "api", v1alpha3.ExportedRemoteDiscovery)
	rig.ExpectService(t, p.source, p.apps, "api-east")
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
}
