package controller

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

const fleetSize = 20

func isHeld(says string) wanted {
	return isFalse(v1alpha3.ConditionSynced, v1alpha3.ReasonMassDeletionHeld, says)
}

// loseAll makes a target that has lost all of its services while nobody looked.
func loseAll(t *testing.T, p *pair, run *process, names []string) {
	t.Helper()
	p.expectMirrors(t, "east", len(names))
	expectLink(t, p.source, linkKey(p), isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	run.stop(t)
	for _, name := range names {
		rig.Delete(t, p.target, p.service(name), p.slice(name))
	}
}

func heldTime(t *testing.T, l *v1alpha3.Link) time.Time {
	t.Helper()
	return meta.FindStatusCondition(l.Status.Conditions, v1alpha3.ConditionSynced).LastTransitionTime.Time
}

// LESSON-28: a target that has lost its services deletes nothing by itself, costs no requests while it
// is held, and is released by an annotation.
func TestMassDeletionIsHeldUntilItIsReleased(t *testing.T) {
	p := sharedPair(t)
	names := p.exportDirect(t, fleetSize)
	p.link(t, "east")
	loseAll(t, p, p.run(t), names)
	mark := rig.Mark(t, p.source)
	p.run(t)
	l := expectLink(t, p.source, linkKey(p), isHeld("20 of 20"), isFalse(v1alpha3.ConditionReady, v1alpha3.ReasonMassDeletionHeld, v1alpha3.AnnotationReleaseMassDeletion))
	target := rig.Mark(t, p.target)
	awaitTime(t, time.Now().Add(2*time.Second))
	rig.ExpectRequests(t, p.source, mark, nil, p.mirrorWrites()...)
	rig.ExpectRequests(t, p.target, target, nil, rig.By(p.remote.Name), rig.NotWatches())

	rig.Update(t, p.source, l, func(l *v1alpha3.Link) {
		l.Annotations = map[string]string{v1alpha3.AnnotationReleaseMassDeletion: heldTime(t, l).Add(time.Second).UTC().Format(time.RFC3339)}
	})
	p.expectMirrors(t, "east", 0)
	expectLink(t, p.source, linkKey(p), isTrue(v1alpha3.ConditionSynced, v1alpha3.ReasonSynced))
}

// LESSON-28: held for its time and not longer, restarts included; nothing else has to happen for it.
func TestMassDeletionIsReleasedByTime(t *testing.T) {
	const hold = 8 * time.Second
	p := sharedPair(t)
	names := p.exportDirect(t, fleetSize)
	p.link(t, "east")
	briefly := func(o *Options) { o.Mirror.MassDeletionHold = hold }
	loseAll(t, p, p.run(t, briefly), names)
	run := p.run(t, briefly)
	since := heldTime(t, expectLink(t, p.source, linkKey(p), isHeld("20 of 20")))
	run.stop(t)
	p.run(t, briefly)
	l := expectLink(t, p.source, linkKey(p), isHeld("20 of 20"))
	if again := heldTime(t, l); !again.Equal(since) {
		t.Errorf("held since %s, and after a restart since %s", since, again)
	}
	if left := len(p.mirrorsOf(t, "east")); left != fleetSize {
		t.Errorf("%d mirrors are left", left)
	}
	p.expectMirrors(t, "east", 0)
	if early := since.Add(hold); time.Now().Before(early) {
		t.Errorf("released %s early", time.Until(early))
	}
	if late := time.Since(since.Add(hold)); late > 5*time.Second {
		t.Errorf("released %s late", late)
	}
	expectLink(t, p.source, linkKey(p), isTrue(v1alpha3.ConditionSynced, v1alpha3.ReasonSynced))
}

// A hold ends when the services are back, and nothing was touched (LESSON-28).
func TestMassDeletionEndsWhenTheServicesAreBack(t *testing.T) {
	p := sharedPair(t)
	names := p.exportDirect(t, fleetSize)
	p.link(t, "east")
	run := p.run(t)
	before := p.expectMirrors(t, "east", fleetSize)
	loseAll(t, p, run, names)
	p.run(t)
	expectLink(t, p.source, linkKey(p), isHeld("20 of 20"))
	p.exportDirect(t, fleetSize)
	expectLink(t, p.source, linkKey(p), isTrue(v1alpha3.ConditionSynced, v1alpha3.ReasonSynced), isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	after := p.expectMirrors(t, "east", fleetSize)
	for i := range before {
		if err := rig.IsStill(before[i])(after[i]); err != nil {
			t.Errorf("mirror %s: %v", before[i].Name, err)
		}
	}
}

// What is seen to be deleted is deleted at once, however much it is (LESSON-28).
func TestDeletionsThatWereSeenAreBelieved(t *testing.T) {
	p := sharedPair(t)
	names := p.exportDirect(t, fleetSize)
	p.link(t, "east")
	p.run(t)
	p.expectMirrors(t, "east", fleetSize)
	for i, name := range names[:15] {
		rig.Delete(t, p.target, p.service(name))
		if i < 5 {
			rig.ExpectNoService(t, p.source, p.apps, name+"-east")
		}
	}
	p.expectMirrors(t, "east", fleetSize-15)
}
