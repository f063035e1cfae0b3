package controller

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// isUntouched wants a Service to the byte, resourceVersion and managed fields included.
func isUntouched(before *corev1.Service) func(*corev1.Service) error {
	return func(svc *corev1.Service) error {
		if diff := cmp.Diff(before, svc); diff != "" {
			return fmt.Errorf("somebody else's Service (-before +after):\n%s", diff)
		}
		return nil
	}
}

// LESSON-8: a Service that we did not make is never touched, whatever happens to the exported service
// of its name; and its name is ours once its owner deletes it.
func TestForeignServiceOfTheMirrorsNameIsNeverTouched(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	theirs := rig.Service(p.apps, "web-east", rig.WithLabel("app", "theirs"), rig.WithPorts(rig.Port("tcp", 1234)))
	rig.Create(t, p.source, theirs)
	svc := rig.ExpectService(t, p.source, p.apps, "web-east")
	untouched := func() {
		t.Helper()
		rig.ExpectService(t, p.source, p.apps, "web-east", isUntouched(svc))
	}
	other := p.export(t, "other", v1alpha3.ExportedGateway)
	web := p.export(t, "web", v1alpha3.ExportedGateway)
	key := p.link(t, "east", throughGateway())
	run := p.run(t)

	p.expectLinkEvent(t, key, v1alpha3.ReasonNameConflict, "web")
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 2, Mirrored: 1, Refused: 1})
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses())
	untouched()
	rig.Update(t, p.target, web, func(s *corev1.Service) { s.Labels[v1alpha3.LabelExported] = v1alpha3.ExportedRemoteDiscovery })
	p.inStep(t, other)
	untouched()
	rig.Update(t, p.target, web, func(s *corev1.Service) { delete(s.Labels, v1alpha3.LabelExported) })
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 1, Mirrored: 1})
	untouched()
	rig.Update(t, p.target, web, rig.Exported(v1alpha3.ExportedGateway))
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 2, Mirrored: 1, Refused: 1})
	rig.Delete(t, p.target, web)
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 1, Mirrored: 1})
	untouched()

	web = rig.Service(p.apps, "web", rig.Exported(v1alpha3.ExportedGateway), rig.WithSelector("app", "web"))
	rig.Create(t, p.target, web)
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 2, Mirrored: 1, Refused: 1})
	run.stop(t)
	p.run(t)
	p.inStep(t, other)
	untouched()
	rig.Delete(t, p.source, linkNamed(key))
	rig.ExpectGone(t, p.source, linkNamed(key))
	untouched()
}

// inStep waits until a change of an exported service, made now, has arrived in its mirror: what was
// queued before has been worked off, or is being worked on.
func (p *pair) inStep(t *testing.T, svc *corev1.Service) {
	t.Helper()
	rig.Update(t, p.target, svc, func(s *corev1.Service) {
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations["example.com/step"] += "."
	})
	rig.ExpectService(t, p.source, p.apps, svc.Name+"-east", rig.HasAnnotation("example.com/step", svc.Annotations["example.com/step"]))
}

// LESSON-8: the name is taken by whoever has it, and ours soon after it is free.
func TestMirrorAppearsWhenItsNameIsFree(t *testing.T) {
	p := sharedPair(t)
	theirs := rig.Service(p.apps, "web-east")
	rig.Create(t, p.source, theirs)
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	key := p.link(t, "east")
	p.run(t)
	p.expectLinkEvent(t, key, v1alpha3.ReasonNameConflict, "web")
	rig.Delete(t, p.source, theirs)
	// Theirs is in no cache of ours, so its end is found out by trying.
	rig.ExpectService(t, p.source, p.apps, "web-east", rig.HasLabel(v1alpha3.LabelClusterName, "east"))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.50"))
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 1, Mirrored: 1})
}

// LESSON-8: somebody replaces our mirror by a Service of theirs at the moment when we delete or mend it.
func TestReplacedMirrorIsNotOurs(t *testing.T) {
	p := sharedPair(t)
	key := p.link(t, "east")
	p.run(t)
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, "True", "")
	for i := range 10 {
		name := fmt.Sprintf("web-%d", i)
		web := p.export(t, name, v1alpha3.ExportedRemoteDiscovery)
		rig.ExpectSlices(t, p.source, p.apps, name+"-east", rig.ReadyAddresses("203.0.113.50"))
		theirs := rig.Service(p.apps, name+"-east", rig.WithLabel("app", "theirs"))
		if i%2 == 0 { // we may be deleting the mirror ourselves
			rig.Delete(t, p.target, web)
		}
		p.replace(t, theirs)
		rig.ExpectSlices(t, p.source, p.apps, name+"-east", rig.ReadyAddresses())
		rig.ExpectService(t, p.source, p.apps, name+"-east", rig.HasLabel("app", "theirs"), func(svc *corev1.Service) error {
			return same("resourceVersion", theirs.ResourceVersion, svc.ResourceVersion)
		})
	}
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 5, Refused: 5})
}

// replace deletes our mirror and puts another Service in its place, as often as it takes.
func (p *pair) replace(t *testing.T, theirs *corev1.Service) {
	t.Helper()
	rig.ExpectSoon(t, func(ctx context.Context) error {
		theirs.ResourceVersion, theirs.UID = "", ""
		old := p.service(theirs.Name)
		if err := client.IgnoreNotFound(p.source.Client().Delete(ctx, old)); err != nil {
			return err
		}
		err := p.source.Client().Create(ctx, theirs)
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Error(err)
		}
		return err
	})
}

// LESSON-19: service a-b of cluster c and service a of cluster b-c want the same name. Whoever has it
// keeps it, the other is told, nothing flips; and it is the other's turn when the name is free.
func TestTwoServicesThatWantOneName(t *testing.T) {
	for _, first := range []string{"c", "b-c"} {
		t.Run("first from "+first, func(t *testing.T) {
			clusters := rig.Shared(t, 3)
			p := newPair(t, clusters[0], clusters[1])
			q := &pair{source: p.source, target: clusters[2], links: p.links, apps: p.apps, controller: p.controller}
			q.target.NamespaceNamed(t, p.apps)
			q.remote = account(t, q.target, p.apps, remoteRules)
			t.Cleanup(func() { sweep(t, p.apps, q.target) })
			p.neverForbidden(t)
			// winner and loser name the service and the cluster of each.
			type side struct {
				*pair
				name, cluster string
			}
			winner, loser := side{p, "a-b", "c"}, side{q, "a", "b-c"}
			if first == "b-c" {
				winner, loser = loser, winner
			}
			winnerKey, loserKey := winner.link(t, winner.cluster), loser.link(t, loser.cluster)
			p.run(t)
			winner.export(t, winner.name, v1alpha3.ExportedRemoteDiscovery)
			mirror := rig.ExpectService(t, p.source, p.apps, "a-b-c", rig.HasLabel(v1alpha3.LabelClusterName, winner.cluster))
			services := p.watchService(t, "a-b-c")
			loser.export(t, loser.name, v1alpha3.ExportedRemoteDiscovery)
			p.expectLinkEvent(t, loserKey, v1alpha3.ReasonNameConflict, loser.name)
			loser.expectCounts(t, loserKey, v1alpha3.ServiceCounts{Exported: 1, Refused: 1})
			winner.expectCounts(t, winnerKey, v1alpha3.ServiceCounts{Exported: 1, Mirrored: 1})
			services.Always(t, alwaysStill(mirror))
			if first == "b-c" {
				return // the rest is the same, and takes its time
			}
			rig.Delete(t, winner.target, winner.service(winner.name))
			rig.ExpectService(t, p.source, p.apps, "a-b-c", rig.HasLabel(v1alpha3.LabelClusterName, loser.cluster))
			rig.ExpectSlices(t, p.source, p.apps, "a-b-c", rig.ReadyAddresses("203.0.113.50"))
			loser.expectCounts(t, loserKey, v1alpha3.ServiceCounts{Exported: 1, Mirrored: 1})
		})
	}
}
