package controller

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

const manyServices = 50

// exportMany exports services in both modes in turn.
func (p *pair) exportMany(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		mode := v1alpha3.ExportedGateway
		if i%2 == 1 {
			mode = v1alpha3.ExportedRemoteDiscovery
		}
		p.export(t, fmt.Sprintf("svc-%02d", i), mode)
	}
}

// linkWithVerdict makes a Link whose gateway is known to be alive before its target is first asked, so
// that no mirror is made before its readiness is known.
func (p *pair) linkWithVerdict(t *testing.T, cluster string) client.ObjectKey {
	t.Helper()
	l := rig.Link(p.links, cluster, throughGateway())
	rig.Create(t, p.source, l)
	key := client.ObjectKeyFromObject(l)
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionGatewayReady, metav1.ConditionTrue, v1alpha3.ReasonGatewayAlive)
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionCredentialsValid, metav1.ConditionFalse, v1alpha3.ReasonCredentialsMissing)
	rig.Create(t, p.source, p.secret(t, cluster))
	return key
}

// expectAllReady waits until so many mirrors of a cluster have a ready endpoint each.
func (p *pair) expectAllReady(t *testing.T, cluster string, n int) {
	t.Helper()
	scope := rig.In(p.apps).And(rig.Labelled(map[string]string{v1alpha3.LabelClusterName: cluster}))
	rig.ExpectList(t, p.source, &discoveryv1.EndpointSlice{}, scope, func(list []*discoveryv1.EndpointSlice) error {
		mirrors := map[string]bool{}
		for _, slice := range list {
			if ready(slice) {
				mirrors[slice.Labels[discoveryv1.LabelServiceName]] = true
			}
		}
		if len(mirrors) != n {
			return fmt.Errorf("%d mirrors are ready, want %d", len(mirrors), n)
		}
		return nil
	})
}

// Architecture decision 3, LESSON-1: a mirror costs two writes, and nothing once it is there.
func TestTwoWritesPerMirrorAndNoneWhileIdle(t *testing.T) {
	p := sharedPair(t)
	g := gateway(t, gatewayAddress)
	p.exportMany(t, manyServices)
	from := rig.Mark(t, p.source)
	run := p.run(t)
	key := p.linkWithVerdict(t, "east")
	p.expectAllReady(t, "east", manyServices)
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: manyServices, Mirrored: manyServices})
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
	expectGauge(t, run, "linkspan_mirror_writes_total", nil, 2*manyServices)

	status := func(r rig.Request) bool { return r.Resource == "links" && r.Subresource == "status" }
	rig.ExpectRequests(t, p.source, from, map[string]int{
		"patch services": manyServices, "patch endpointslices.discovery.k8s.io": manyServices,
		"patch links.multicluster.linkerd.io": 1, // its finalizer
	}, p.byUs(), rig.Writes(), func(r rig.Request) bool { return !status(r) })
	written, err := p.source.Requests(from, p.byUs(), status)
	if err != nil {
		t.Fatal(err)
	}
	if len(written) > 8 {
		t.Errorf("the Link's status was written %d times for %d services, want at most 8 (LESSON-24)", len(written), manyServices)
	}

	source, target := rig.Mark(t, p.source), rig.Mark(t, p.target)
	expectProbed(t, g, 4)
	rig.ExpectRequests(t, p.source, source, nil, p.byUs())
	rig.ExpectRequests(t, p.target, target, nil, p.toTarget())
}

// identities are what a mirror must keep for ever.
func (p *pair) identities(t *testing.T, cluster string) map[string][2]string {
	t.Helper()
	out := map[string][2]string{}
	for _, svc := range p.mirrorsOf(t, cluster) {
		out[svc.Name] = [2]string{string(svc.UID), svc.Spec.ClusterIP}
	}
	return out
}

// LESSON-3, LESSON-42: a restart with nothing to do does nothing, and no endpoint flickers.
func TestRestartWritesNothing(t *testing.T) {
	p := sharedPair(t)
	g := gateway(t, gatewayAddress)
	p.exportMany(t, 10)
	key := p.link(t, "east", throughGateway())
	first := p.run(t)
	p.expectAllReady(t, "east", 10)
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 10, Mirrored: 10})
	first.stop(t)

	before := p.identities(t, "east")
	slices := rig.Watch(t, p.source, &discoveryv1.EndpointSlice{}, rig.In(p.apps))
	from := rig.Mark(t, p.source)
	for range 3 {
		again := p.run(t)
		expectGauge(t, again, "linkspan_services", prometheus.Labels{"state": "Mirrored"}, 10)
		expectProbed(t, g, 3)
		again.stop(t)
	}
	rig.ExpectRequests(t, p.source, from, nil, p.byUs(), rig.Writes(), rig.Of("services", "endpointslices", "endpoints", "events", "links"))
	slices.Always(t, func(m rig.Moment) error {
		for _, object := range m.Objects {
			if slice := object.(*discoveryv1.EndpointSlice); !ready(slice) {
				return fmt.Errorf("slice %s is not ready", slice.Name)
			}
		}
		return nil
	})
	slices.Unbroken(t)
	if diff := cmp.Diff(before, p.identities(t, "east")); diff != "" {
		t.Errorf("mirrors (-before +after):\n%s", diff)
	}
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
}

// MIR-1, LESSON-25: what nobody exported never enters memory, because every list and watch of the
// target asks for labels.
func TestTargetIsAskedForExportedServicesOnly(t *testing.T) {
	p := sharedPair(t)
	from := rig.Mark(t, p.target)
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	rig.Create(t, p.target, rig.Service(p.apps, "private"), rig.Service(p.apps, "not-quite", rig.WithLabel(v1alpha3.LabelExported, "yes")))
	manual := rig.Service(p.apps, "manual", rig.Exported(v1alpha3.ExportedRemoteDiscovery))
	rig.Create(t, p.target, manual, rig.EndpointSlice(manual, []string{"203.0.113.60"}, rig.HandMade()))
	key := p.link(t, "east")
	p.run(t)

	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.50"))
	rig.ExpectSlices(t, p.source, p.apps, "manual-east", rig.ReadyAddresses("203.0.113.60"))
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 2, Mirrored: 2})
	if got := p.mirrorsOf(t, "east"); len(got) != 2 {
		t.Errorf("there are %d mirrors, want 2", len(got))
	}
	asked, err := p.target.Requests(from, rig.By(p.remote.Name), rig.Of("services", "endpointslices"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range asked {
		seen[r.Resource] = true
		if !strings.Contains(r.URI, "labelSelector=") {
			t.Errorf("%s without a label selector: %s", r, r.URI)
		}
	}
	if !seen["services"] || !seen["endpointslices"] {
		t.Errorf("the target was asked for %v, want services and endpointslices: is the audit filter right?", seen)
	}
}

// LINK-10, LESSON-34: in the target nothing but what `mirror allow` grants is asked for, and nothing is written.
func TestTargetIsOnlyRead(t *testing.T) {
	p := sharedPair(t)
	from := rig.Mark(t, p.target)
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	p.link(t, "east")
	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.50"))
	rig.Delete(t, p.target, p.service("web"))
	rig.ExpectNoService(t, p.source, p.apps, "web-east")

	asked, err := p.target.Requests(from, rig.By(p.remote.Name))
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{
		"get services": true, "list services": true, "watch services": true,
		"list endpointslices.discovery.k8s.io": true, "watch endpointslices.discovery.k8s.io": true,
		"get namespaces": true,
	}
	for _, r := range asked {
		if !allowed[r.String()] {
			t.Errorf("the target was asked to %s (%s)", r, r.URI)
		}
	}
	if len(asked) == 0 {
		t.Error("the target was never asked: is the audit filter right?")
	}
}

// sameUID is a check that an object is the very same.
func sameUID(uid types.UID) func(*corev1.Service) error {
	return func(svc *corev1.Service) error {
		if svc.UID != uid {
			return fmt.Errorf("Service %s has UID %s, want %s", svc.Name, svc.UID, uid)
		}
		return nil
	}
}
