package controller

import (
	"fmt"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// linkKey is the Link of the usual target.
func linkKey(p *pair) client.ObjectKey { return client.ObjectKey{Namespace: p.links, Name: "east"} }

func hasPort(want int32) func([]*discoveryv1.EndpointSlice) error {
	return func(list []*discoveryv1.EndpointSlice) error {
		for _, slice := range list {
			for _, port := range slice.Ports {
				if *port.Port == want {
					return nil
				}
			}
		}
		return fmt.Errorf("no slice has port %d", want)
	}
}

// LESSON-58: of many edits the last wins, and none that concerns no watch makes one anew.
func TestLinkEdits(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	gateway(t, "203.0.113.11:4191")
	p.export(t, "web", v1alpha3.ExportedGateway)
	p.export(t, "api", v1alpha3.ExportedGateway)
	key := p.link(t, "east", throughGateway())
	p.run(t)
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	target := rig.Mark(t, p.target)

	const edits = 200
	for i := range edits {
		rig.Update(t, p.source, linkNamed(key), func(l *v1alpha3.Link) {
			l.Labels = map[string]string{"edit": fmt.Sprint(i)}
			l.Spec.GatewayPort = fmt.Sprint(5000 + i)
		})
	}
	for _, mirror := range []string{"web-east", "api-east"} {
		rig.ExpectSlices(t, p.source, p.apps, mirror, hasPort(5000+edits-1))
	}
	rig.Update(t, p.source, linkNamed(key), func(l *v1alpha3.Link) {
		l.Spec.GatewayAddress = "203.0.113.11"
		l.Spec.ProbeSpec.Period, l.Spec.ProbeSpec.Timeout = "1", "1" // bare seconds, as in old Links
	})
	for _, mirror := range []string{"web-east", "api-east"} {
		rig.ExpectSlices(t, p.source, p.apps, mirror, rig.ReadyAddresses("203.0.113.11"))
	}
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	rig.ExpectRequests(t, p.target, target, nil, rig.By(p.remote.Name))
}

// LESSON-55: an edit that cannot work leaves what was in force; a selector that selects nothing is
// an edit that can, and removes the mirrors.
func TestSelectorEdits(t *testing.T) {
	p := sharedPair(t)
	names := p.exportDirect(t, 3)
	key := p.link(t, "east")
	p.run(t)
	before := p.expectMirrors(t, "east", len(names))
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	good := rig.Link(p.links, "east").Spec.RemoteDiscoverySelector
	edit := func(s *metav1.LabelSelector) {
		rig.Update(t, p.source, linkNamed(key), func(l *v1alpha3.Link) { l.Spec.RemoteDiscoverySelector = s })
	}
	mark := rig.Mark(t, p.source)
	edit(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: metav1.LabelSelectorOpIn}}})
	expectLink(t, p.source, key, isFalse(v1alpha3.ConditionReady, v1alpha3.ReasonInvalidLink, "spec.remoteDiscoverySelector"), isTrue(v1alpha3.ConditionConnected, v1alpha3.ReasonConnected))
	p.export(t, "new", v1alpha3.ExportedRemoteDiscovery)
	rig.ExpectService(t, p.source, p.apps, "new-east")
	edit(good)
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	after := p.expectMirrors(t, "east", len(names)+1)
	for i, svc := range after[1:] { // "new" comes first
		if err := rig.IsStill(before[i])(svc); err != nil {
			t.Errorf("mirror %s: %v", svc.Name, err)
		}
	}
	rig.ExpectRequests(t, p.source, mark, map[string]int{}, rig.By(p.controller.Name), rig.Of("services"), func(r rig.Request) bool { return r.Verb == "delete" })
	edit(&metav1.LabelSelector{})
	p.expectMirrors(t, "east", 0)
	edit(good)
	p.expectMirrors(t, "east", len(names)+1)
}

// LESSON-28, LESSON-55: a selector that suddenly picks nothing of many is held like a target that
// has lost them.
func TestEmptiedSelectorOfManyIsHeld(t *testing.T) {
	p := sharedPair(t)
	p.exportDirect(t, fleetSize)
	key := p.link(t, "east")
	p.run(t)
	before := p.expectMirrors(t, "east", fleetSize)
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	mark := rig.Mark(t, p.source)
	rig.Update(t, p.source, linkNamed(key), func(l *v1alpha3.Link) { l.Spec.RemoteDiscoverySelector = nil })
	expectLink(t, p.source, key, isHeld("20 of 20"))
	sameMirrors(t, p, mark, before, p.expectMirrors(t, "east", fleetSize))
}

// LESSON-27: a Link that became invalid takes its mirrors with it all the same, also when the
// controller never knew it otherwise and its target was never reached.
func TestInvalidLinkIsDeletedWithItsMirrors(t *testing.T) {
	p := sharedPair(t)
	p.exportDirect(t, 3)
	key := p.link(t, "east")
	run := p.run(t)
	p.expectMirrors(t, "east", 3)
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	run.stop(t)
	rig.Update(t, p.source, linkNamed(key), func(l *v1alpha3.Link) {
		l.Spec.Selector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: metav1.LabelSelectorOpIn}}}
	})
	rig.Delete(t, p.source, p.secretNamed("east"))
	p.run(t)
	expectLink(t, p.source, key, isFalse(v1alpha3.ConditionReady, v1alpha3.ReasonInvalidLink, "spec.selector"))
	p.expectMirrors(t, "east", 3)
	start := time.Now()
	rig.Delete(t, p.source, linkNamed(key))
	rig.ExpectGone(t, p.source, linkNamed(key))
	t.Logf("gone after %s", time.Since(start).Round(time.Millisecond))
	p.expectMirrors(t, "east", 0)
}

// LESSON-3, LESSON-55: a value of one of our annotations that means nothing is told and takes nothing out of service,
// also after a restart: readiness follows the gateway, and new services are mirrored.
func TestAnnotationThatMeansNothingIsIgnored(t *testing.T) {
	p := sharedPair(t)
	g := gateway(t, gatewayAddress)
	p.export(t, "web", v1alpha3.ExportedGateway)
	key := p.link(t, "east", throughGateway())
	first := p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	rig.Update(t, p.source, linkNamed(key), func(l *v1alpha3.Link) {
		metav1.SetMetaDataAnnotation(&l.ObjectMeta, v1alpha3.AnnotationReleaseMassDeletion, "now")
	})
	told := wanted{
		kind: v1alpha3.ConditionReady, status: metav1.ConditionTrue, reason: v1alpha3.ReasonReady,
		says: `metadata.annotations[linkspan.io/release-mass-deletion]: "now" must be an RFC 3339 time`,
	}
	expectLink(t, p.source, key, told)
	first.stop(t)

	p.run(t)
	p.export(t, "api", v1alpha3.ExportedGateway)
	rig.ExpectSlices(t, p.source, p.apps, "api-east", rig.ReadyAddresses(gatewayIP))
	expectLink(t, p.source, key, told)
	if err := g.Down(); err != nil {
		t.Fatal(err)
	}
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.UnreadyAddresses(gatewayIP))
	if err := g.Up(); err != nil {
		t.Fatal(err)
	}
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	rig.Update(t, p.source, linkNamed(key), func(l *v1alpha3.Link) { delete(l.Annotations, v1alpha3.AnnotationReleaseMassDeletion) })
	rig.Expect(t, p.source, linkNamed(key), func(l *v1alpha3.Link) error {
		if c := meta.FindStatusCondition(l.Status.Conditions, v1alpha3.ConditionReady); c.Message != "" {
			return fmt.Errorf("Ready still says %q", c.Message)
		}
		return nil
	})
}
