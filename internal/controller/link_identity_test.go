package controller

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// LINK-8: a Link to the cluster that it lives in mirrors nothing.
func TestLinkToItsOwnClusterIsRefused(t *testing.T) {
	cluster := rig.Shared(t, 1)[0]
	p := &pair{source: cluster, target: cluster, links: cluster.Namespace(t), apps: cluster.Namespace(t)}
	t.Cleanup(func() { sweep(t, p.apps, cluster) })
	p.controller, p.remote = account(t, cluster, p.links, localRules), account(t, cluster, p.apps, remoteRules)
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	key := p.link(t, "east")
	p.run(t)
	expectLink(t, p.source, key, isFalse(v1alpha3.ConditionConnected, v1alpha3.ReasonTargetIsSelf, rig.CredentialsName("east")),
		isFalse(v1alpha3.ConditionReady, v1alpha3.ReasonTargetIsSelf, "this very cluster"))
	if list := p.mirrorsOf(t, "east"); len(list) > 0 {
		t.Errorf("%d mirrors of our own services", len(list))
	}
}

// LINK-8: of two Links to one cluster the older stays, whoever connects first, and the younger takes
// over when it goes.
func TestTwoLinksToOneCluster(t *testing.T) {
	p := sharedPair(t)
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	first := p.link(t, "a")
	run := p.run(t)
	p.expectMirrors(t, "a", 1)
	second := p.link(t, "b")
	refused := []wanted{isFalse(v1alpha3.ConditionConnected, v1alpha3.ReasonTargetIsDuplicate, "Link a"), isFalse(v1alpha3.ConditionReady, v1alpha3.ReasonTargetIsDuplicate, "Link a")}
	expectLink(t, p.source, second, refused...)
	// A restart knows who was first by what the status says; before it is written there, whoever connects first is.
	expectLink(t, p.source, first, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	run.stop(t)
	p.run(t)
	expectLink(t, p.source, second, refused...)
	expectLink(t, p.source, first, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	if list := p.mirrorsOf(t, "b"); len(list) > 0 {
		t.Errorf("the refused Link has %d mirrors", len(list))
	}
	rig.Delete(t, p.source, linkNamed(first))
	rig.ExpectGone(t, p.source, linkNamed(first))
	expectLink(t, p.source, second, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	p.expectMirrors(t, "b", 1)
	p.expectMirrors(t, "a", 0)
}

// LINK-8: of two Links with one cluster name the older has it; deleting the younger touches nothing,
// and when the older goes the younger takes over.
func TestTwoLinksWithOneClusterName(t *testing.T) {
	p := sharedPair(t)
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	first := p.link(t, "east")
	p.run(t)
	before := p.expectMirrors(t, "east", 1)
	expectLink(t, p.source, first, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	named := func(name string) *v1alpha3.Link {
		l := rig.Link(p.links, "east")
		l.Name = name
		return l
	}
	rig.Create(t, p.source, named("younger"), named("youngest"))
	for _, name := range []string{"younger", "youngest"} {
		expectLink(t, p.source, client.ObjectKey{Namespace: p.links, Name: name}, isFalse(v1alpha3.ConditionReady, v1alpha3.ReasonDuplicateCluster, "spec.targetClusterName"))
	}
	mark := rig.Mark(t, p.source)
	rig.Delete(t, p.source, named("youngest"))
	rig.ExpectGone(t, p.source, named("youngest"))
	sameMirrors(t, p, mark, before, p.expectMirrors(t, "east", 1))
	rig.Delete(t, p.source, linkNamed(first))
	rig.ExpectGone(t, p.source, linkNamed(first))
	expectLink(t, p.source, client.ObjectKey{Namespace: p.links, Name: "younger"}, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	p.expectMirrors(t, "east", 1)
}

// LESSON-28: credentials that lead to another cluster delete nothing and say so loudly, before and
// after a restart, until an operator accepts the new target.
func TestCredentialsOfAnotherCluster(t *testing.T) {
	clusters := rig.Shared(t, 3)
	p := newPair(t, clusters[0], clusters[1])
	clusters[2].NamespaceNamed(t, p.apps)
	t.Cleanup(func() { sweep(t, p.apps, clusters[2]) })
	other := p.to(t, clusters[2], remoteRules...)
	p.exportDirect(t, 3)
	key := p.link(t, "east")
	run := p.run(t)
	before := p.expectMirrors(t, "east", 3)
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))

	mark := rig.Mark(t, p.source)
	p.useSecret(t, "east", other.kubeconfig(t, other.remote))
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionConnected, v1alpha3.ReasonConnected), isFalse(v1alpha3.ConditionReady, v1alpha3.ReasonTargetChanged, v1alpha3.AnnotationAcceptTarget))
	run.stop(t)
	p.run(t)
	expectLink(t, p.source, key, isFalse(v1alpha3.ConditionConnected, v1alpha3.ReasonTargetChanged, v1alpha3.AnnotationAcceptTarget))
	sameMirrors(t, p, mark, before, p.expectMirrors(t, "east", 3))

	other.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	system := rig.Expect(t, other.target, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}})
	rig.Update(t, p.source, linkNamed(key), func(l *v1alpha3.Link) {
		l.Annotations = map[string]string{v1alpha3.AnnotationAcceptTarget: string(system.UID)}
	})
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	rig.ExpectService(t, p.source, p.apps, "web-east")
	p.expectMirrors(t, "east", 1) // three are few enough to be believed
}

// LESSON-28: an empty cluster behind the same address deletes nothing, although few mirrors are at
// stake and it answers every question with "not found".
func TestWipedTarget(t *testing.T) {
	p := own(t, rig.ClusterOptions{Name: "wiped", OwnEtcd: true})
	p = p.as(p.target.Admin()) // an account that the empty cluster knows as well
	p.exportDirect(t, 3)
	key := p.link(t, "east")
	p.run(t)
	before := p.expectMirrors(t, "east", 3)
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	mark := rig.Mark(t, p.source)
	if err := p.target.WipeData(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectLinkWithin(t, p.source, promised, key, isFalse(v1alpha3.ConditionConnected, v1alpha3.ReasonTargetChanged, ""),
		isFalse(v1alpha3.ConditionReady, v1alpha3.ReasonTargetChanged, ""))
	sameMirrors(t, p, mark, before, p.expectMirrors(t, "east", 3))
}
