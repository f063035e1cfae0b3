package controller

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// upstreamMirror is the Service that Linkerd's controller makes of an exported one: created and then
// updated, with everything copied.
func (p *pair) upstreamMirror(t *testing.T, service string, options ...rig.ServiceOption) *corev1.Service {
	t.Helper()
	mirror := rig.Service(p.apps, service+"-east", append([]rig.ServiceOption{
		rig.WithLabel(v1alpha3.LabelMirroredService, "true"), rig.WithLabel(v1alpha3.LabelClusterName, "east"),
		rig.WithLabel("gone", "at-the-source"),
		rig.WithAnnotation(v1alpha3.AnnotationRemoteServiceFQName, service+"."+p.apps+".svc.cluster.local"),
		rig.WithAnnotation(v1alpha3.AnnotationRemoteResourceVersion, "1"),
		rig.WithAnnotation(lastApplied, "{}"),
	}, options...)...)
	mirror.Spec.Ports[0].TargetPort = intstr.FromInt32(mirror.Spec.Ports[0].Port)
	upstream := client.FieldOwner("controller")
	if err := p.source.Client().Create(t.Context(), mirror, upstream); err != nil {
		t.Fatal(err)
	}
	mirror.Annotations[v1alpha3.AnnotationRemoteResourceVersion] = "2"
	if err := p.source.Client().Update(t.Context(), mirror, upstream); err != nil {
		t.Fatal(err)
	}
	return mirror
}

// upstreamEndpoints is what goes with it in gateway mode.
//
//nolint:staticcheck // Linkerd writes core/v1 Endpoints, deprecated as they are.
func (p *pair) upstreamEndpoints(t *testing.T, mirror *corev1.Service) *corev1.Endpoints {
	t.Helper()
	endpoints := &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: mirror.Namespace, Name: mirror.Name,
			Labels: map[string]string{v1alpha3.LabelMirroredService: "true", v1alpha3.LabelClusterName: "east"},
			Annotations: map[string]string{
				v1alpha3.AnnotationRemoteServiceFQName:   mirror.Annotations[v1alpha3.AnnotationRemoteServiceFQName],
				v1alpha3.AnnotationRemoteGatewayIdentity: "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local",
			},
		},
		Subsets: []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{{IP: gatewayIP}},
			Ports:     []corev1.EndpointPort{{Name: "http", Port: 4143, Protocol: corev1.ProtocolTCP}},
		}},
	}
	if err := p.source.Client().Create(t.Context(), endpoints, client.FieldOwner("controller")); err != nil {
		t.Fatal(err)
	}
	return endpoints
}

// ours wants every slice of a mirror to be of our making.
func ours(list []*discoveryv1.EndpointSlice) error {
	for _, slice := range list {
		if by := slice.Labels[discoveryv1.LabelManagedBy]; by != v1alpha3.SliceManagedBy {
			return fmt.Errorf("slice %s is managed by %s", slice.Name, by)
		}
	}
	return nil
}

// Architecture decision 4: a mirror that Linkerd's controller made is taken over in place. Its
// ClusterIP stays, at no moment is there no ready endpoint, and what it copied too much goes.
func TestMirrorsOfLinkerdAreAdopted(t *testing.T) {
	clusters := rig.New(t, rig.ClusterOptions{Controllers: []string{rig.EndpointSliceMirroring}}, rig.ClusterOptions{})
	p := newPair(t, clusters[0], clusters[1])
	p.neverForbidden(t)
	g := gateway(t, gatewayAddress)
	p.export(t, "web", v1alpha3.ExportedGateway, rig.WithLabel("team", "shop"))
	p.export(t, "api", v1alpha3.ExportedRemoteDiscovery)
	web := p.upstreamMirror(t, "web")
	api := p.upstreamMirror(t, "api", rig.WithLabel(v1alpha3.LabelRemoteDiscovery, "east"), rig.WithLabel(v1alpha3.LabelRemoteService, "api"))
	endpoints := p.upstreamEndpoints(t, web)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP)) // those of endpointslicemirroring
	slices, services := p.watchSlices(t, "web-east"), p.watchService(t, "web-east")
	//nolint:staticcheck // see upstreamEndpoints
	old := rig.Watch(t, p.source, &corev1.Endpoints{}, rig.In(p.apps).And(rig.Named("web-east")))

	key := p.link(t, "east", throughGateway())
	run := p.run(t)
	rig.ExpectGone(t, p.source, endpoints)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", ours)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", throughGatewayOnly)
	clean := []func(*corev1.Service) error{rig.LacksAnnotation(lastApplied), rig.LacksLabel("gone"), rig.HasLabel(v1alpha3.LabelClusterName, "east")}
	rig.ExpectService(t, p.source, p.apps, "web-east", append(clean, rig.IsStill(web), rig.HasLabel("team", "shop"))...)
	rig.ExpectService(t, p.source, p.apps, "api-east", append(clean, rig.IsStill(api), rig.HasLabel(v1alpha3.LabelRemoteDiscovery, "east"))...)
	rig.ExpectSlices(t, p.source, p.apps, "api-east", rig.ReadyAddresses("203.0.113.50"))
	p.expectEvent(t, "Service", p.apps, "web-east", v1alpha3.ReasonMirrorAdopted, "with its cluster IP")
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 2, Mirrored: 2})
	slices.Always(t, someReady)
	slices.Unbroken(t)
	services.Always(t, alwaysStill(web))
	endpointsWentLast(t, slices, old)

	// What is adopted is ours like any other: nothing to do after a restart, and it follows its source.
	run.stop(t)
	from := rig.Mark(t, p.source)
	again := p.run(t)
	expectGauge(t, again, "linkspan_services", prometheus.Labels{"state": "Mirrored"}, 2)
	expectProbed(t, g, 3)
	rig.ExpectRequests(t, p.source, from, nil, p.byUs(), rig.Writes(), rig.Of("services", "endpointslices", "endpoints"))
	rig.Update(t, p.target, p.service("web"), func(svc *corev1.Service) {
		delete(svc.Labels, "team")
		svc.Spec.Ports[0].Port = 8080
	})
	rig.ExpectService(t, p.source, p.apps, "web-east", rig.IsStill(web), rig.LacksLabel("team"), rig.HasPorts(rig.Port("http", 8080)))
}

// endpointsWentLast wants a ready slice of ours to have been there before the Endpoints object went.
func endpointsWentLast(t *testing.T, slices, endpoints *rig.History) {
	t.Helper()
	moments := endpoints.Moments()
	gone := moments[len(moments)-1]
	for _, m := range slices.Moments() {
		for _, object := range m.Objects {
			slice := object.(*discoveryv1.EndpointSlice)
			if slice.Labels[discoveryv1.LabelManagedBy] == v1alpha3.SliceManagedBy && ready(slice) {
				if m.Time.After(gone.Time) {
					t.Errorf("our slice was ready at %s, after the Endpoints object was deleted at %s", m.Time, gone.Time)
				}
				return
			}
		}
	}
	t.Error("no slice of ours was ever ready")
}
