package controller

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// broken is a target with something wrong, and what its Link is to show.
type broken struct {
	pair    *pair
	options []rig.KubeconfigOption
	kind    string
	reason  string
}

// brokenTargets are one of each way in which a target can be out of reach.
func (p *pair) brokenTargets(t *testing.T) map[string]broken {
	t.Helper()
	ok := p.anonymous(t)
	refusing, hole := proxied(t, p.target), proxied(t, p.target)
	if err := refusing.Refuse(); err != nil {
		t.Fatal(err)
	}
	if err := hole.Blackhole(); err != nil {
		t.Fatal(err)
	}
	at := func(url string) []rig.KubeconfigOption { return []rig.KubeconfigOption{rig.Server(url)} }
	return map[string]broken{
		"dropping":     {ok, at("https://192.0.2.1:6443"), v1alpha3.ConditionConnected, v1alpha3.ReasonConnectionTimeout},
		"black-hole":   {ok, at(hole.URL()), v1alpha3.ConditionConnected, v1alpha3.ReasonConnectionTimeout},
		"refusing":     {ok, at(refusing.URL()), v1alpha3.ConditionConnected, v1alpha3.ReasonConnectionRefused},
		"nameless":     {ok, at("https://no-such-host.invalid:6443"), v1alpha3.ConditionConnected, v1alpha3.ReasonDNSFailure},
		"wrong-ca":     {ok, []rig.KubeconfigOption{rig.CertificateAuthority(p.source.CA())}, v1alpha3.ConditionCredentialsValid, v1alpha3.ReasonCertificateInvalid},
		"unauthorised": {p.as(rig.User{Name: "nobody", Token: "linkspan-no-such-token"}), nil, v1alpha3.ConditionCredentialsValid, v1alpha3.ReasonUnauthorized},
		"forbidden":    {p.as(account(t, p.target, p.apps, anonymousRules[1:])), nil, v1alpha3.ConditionConnected, v1alpha3.ReasonForbidden},
	}
}

// linkBroken makes the Links of broken targets.
func (p *pair) linkBroken(t *testing.T, targets map[string]broken) {
	t.Helper()
	for name, b := range targets {
		rig.Create(t, p.source, b.pair.secret(t, name, b.options...), rig.Link(p.links, name))
	}
}

// expectBroken waits until each Link of a broken target shows why, which is to be before a time.
func (p *pair) expectBroken(t *testing.T, targets map[string]broken, start time.Time) {
	t.Helper()
	for name, b := range targets {
		key := client.ObjectKey{Namespace: p.links, Name: name}
		conditions := []wanted{isFalse(b.kind, b.reason, ""), isFalse(v1alpha3.ConditionReady, b.reason, "")}
		if b.kind != v1alpha3.ConditionConnected {
			conditions = append(conditions, isFalse(v1alpha3.ConditionConnected, b.reason, ""))
		}
		expectLink(t, p.source, key, conditions...)
		t.Logf("%s: %s seen after %s", name, b.reason, time.Since(start).Round(100*time.Millisecond))
	}
	if took := time.Since(start); took > promised {
		t.Errorf("the last reason showed after %s, promised are %s", took, promised)
	}
}

// LESSON-6, LESSON-41: among ten Links each broken one shows its own reason in time, and the others
// mirror as if they were alone. An edge of a target that may only be listed is no busy loop either.
func TestEachFaultShowsItsReasonAndCostsTheOthersNothing(t *testing.T) {
	clusters := rig.Shared(t, 2)
	p := newPair(t, clusters[0], clusters[1])
	names := p.exportDirect(t, 10)
	targets := p.brokenTargets(t)
	p.linkBroken(t, targets)
	healthy := []string{"h1", "h2", "h3"}
	for _, name := range healthy {
		p.anonymous(t).link(t, name)
	}
	start := time.Now()
	run := p.run(t)
	for _, name := range healthy {
		p.expectMirrors(t, name, len(names))
	}
	took := time.Since(start)
	t.Logf("%d healthy Links had their mirrors after %s", len(healthy), took.Round(10*time.Millisecond))
	p.expectBroken(t, targets, start)
	for _, name := range healthy {
		expectLink(t, p.source, client.ObjectKey{Namespace: p.links, Name: name}, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	}
	run.stop(t)
	if took > 8*time.Second { // a broken target keeps an attempt for 10 s
		t.Errorf("the healthy Links waited %s for the broken ones", took)
	}
}

// LESSON-6: a target that may be listed and not watched is lost as soon as it is found, again and
// again: without haste.
func TestTargetThatMayNotBeWatchedIsNoBusyLoop(t *testing.T) {
	clusters := rig.Shared(t, 2)
	p := newPair(t, clusters[0], clusters[1])
	rules := anonymousRules[0].DeepCopy()
	rules.Verbs = []string{"get", "list"}
	p = p.to(t, p.target, *rules, anonymousRules[1])
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	key := p.link(t, "east")
	p.run(t)
	expectLink(t, p.source, key, isFalse(v1alpha3.ConditionConnected, v1alpha3.ReasonForbidden, "cannot watch"))
	from := rig.Mark(t, p.target)
	start := time.Now()
	rig.ExpectRequests(t, p.target, rig.Mark(t, p.target), nil, rig.By(p.remote.Name)) // nothing yet
	awaitTime(t, start.Add(6*time.Second))
	requests, err := p.target.Requests(from, rig.By(p.remote.Name), rig.Of("namespaces"))
	if err != nil {
		t.Fatal(err)
	}
	if len(requests) > 12 {
		t.Errorf("%d attempts within 6 s", len(requests))
	}
}

// awaitTime waits until a moment, for what is about how often something happens.
func awaitTime(t *testing.T, moment time.Time) {
	t.Helper()
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// Issue 2 §7, LESSON-25: fifty Links of which seven are broken; two watches for each healthy one.
func TestFiftyLinksWithAFewBroken(t *testing.T) {
	clusters := rig.Shared(t, 2)
	p := newPair(t, clusters[0], clusters[1])
	names := p.exportDirect(t, 2)
	targets := p.brokenTargets(t)
	p.linkBroken(t, targets)
	healthy := p.anonymous(t)
	const count = 43
	for i := range count {
		healthy.link(t, fmt.Sprintf("h%02d", i))
	}
	from := rig.Mark(t, p.target)
	start := time.Now()
	p.run(t)
	scope := rig.In(p.apps).And(rig.Labelled(map[string]string{v1alpha3.LabelMirroredService: "true"}))
	rig.ExpectList(t, p.source, &corev1.Service{}, scope, func(list []*corev1.Service) error {
		if want := count * len(names); len(list) != want {
			return fmt.Errorf("%d mirrors, want %d", len(list), want)
		}
		return nil
	})
	t.Logf("%d Links had their mirrors after %s", count, time.Since(start).Round(10*time.Millisecond))
	rig.ExpectList(t, p.source, &v1alpha3.Link{}, rig.In(p.links), func(list []*v1alpha3.Link) error {
		ready := 0
		for _, l := range list {
			if isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady).check(l) == nil {
				ready++
			}
		}
		if ready != count {
			return fmt.Errorf("%d Links are ready, want %d", ready, count)
		}
		return nil
	})
	p.expectBroken(t, targets, start)
	rig.ExpectRequests(t, p.target, from, map[string]int{"watch services": count, "watch endpointslices.discovery.k8s.io": count},
		rig.By(healthy.remote.Name), rig.Watches(), func(r rig.Request) bool { return r.Code < 400 })
}

// A target without a Secret is no different: the Link says so, and works when it comes.
func TestSecretThatComesLater(t *testing.T) {
	p := sharedPair(t)
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	l := rig.Link(p.links, "east")
	rig.Create(t, p.source, l)
	p.run(t)
	key := client.ObjectKeyFromObject(l)
	expectLink(t, p.source, key, isFalse(v1alpha3.ConditionReady, v1alpha3.ReasonCredentialsMissing, rig.CredentialsName("east")),
		wanted{kind: v1alpha3.ConditionConnected, status: metav1.ConditionUnknown, reason: v1alpha3.ReasonPending})
	rig.Create(t, p.source, p.secret(t, "east"))
	expectLinkWithin(t, p.source, 5*time.Second, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	rig.ExpectService(t, p.source, p.apps, "web-east")
}
