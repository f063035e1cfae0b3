package controller

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// Architecture decision 3: what others change of ours is put back.
func TestDriftIsPutBack(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.export(t, "web", v1alpha3.ExportedGateway, rig.WithLabel("team", "shop"), rig.WithAnnotation("example.com/a", "1"))
	p.export(t, "api", v1alpha3.ExportedRemoteDiscovery)
	p.link(t, "east", throughGateway())
	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	direct := rig.ExpectSlices(t, p.source, p.apps, "api-east", rig.ReadyAddresses("203.0.113.50"))[0].Name
	web := rig.ExpectService(t, p.source, p.apps, "web-east")
	api := rig.ExpectService(t, p.source, p.apps, "api-east")

	service := func(name string, change func(*corev1.Service)) func(*testing.T) {
		return func(t *testing.T) { rig.Update(t, p.source, p.service(name), change) }
	}
	slice := func(name string, change func(*discoveryv1.EndpointSlice)) func(*testing.T) {
		return func(t *testing.T) { rig.Update(t, p.source, sliceNamed(p.apps, name), change) }
	}
	remove := func(object client.Object) func(*testing.T) {
		return func(t *testing.T) { rig.Delete(t, p.source, object) }
	}
	throughV4 := "web-east-gateway-ipv4"
	cases := map[string]func(*testing.T){
		"label changed":        service("web-east", func(s *corev1.Service) { s.Labels["team"] = "other" }),
		"label removed":        service("web-east", func(s *corev1.Service) { delete(s.Labels, "team") }),
		"annotation removed":   service("web-east", func(s *corev1.Service) { delete(s.Annotations, "example.com/a") }),
		"remote name removed":  service("web-east", func(s *corev1.Service) { delete(s.Annotations, v1alpha3.AnnotationRemoteServiceFQName) }),
		"hash removed":         service("web-east", func(s *corev1.Service) { delete(s.Annotations, v1alpha3.AnnotationAppliedHash) }),
		"port renamed":         service("web-east", func(s *corev1.Service) { s.Spec.Ports[0].Name = "other" }),
		"type changed":         service("web-east", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort }),
		"selector added":       service("web-east", func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "web"} }), // MIR-6
		"mode label removed":   service("api-east", func(s *corev1.Service) { delete(s.Labels, v1alpha3.LabelRemoteDiscovery) }),
		"gateway made unready": slice(throughV4, func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Conditions.Ready = new(false) }),
		"gateway replaced":     slice(throughV4, func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Addresses = []string{"198.51.100.66"} }),
		"gateway port changed": slice(throughV4, func(s *discoveryv1.EndpointSlice) { s.Ports[0].Port = new(int32(6666)) }),
		"identity removed":     slice(throughV4, func(s *discoveryv1.EndpointSlice) { delete(s.Annotations, v1alpha3.AnnotationRemoteGatewayIdentity) }),
		"endpoints emptied":    slice(direct, func(s *discoveryv1.EndpointSlice) { s.Endpoints = nil }),
		"endpoint added": slice(direct, func(s *discoveryv1.EndpointSlice) {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{"198.51.100.66"}})
		}),
		"slice given away": slice(direct, func(s *discoveryv1.EndpointSlice) { s.Labels[discoveryv1.LabelServiceName] = "other" }),
		"slice deleted":    remove(sliceNamed(p.apps, throughV4)),
		"direct deleted":   remove(sliceNamed(p.apps, direct)),
	}
	for name, act := range cases {
		intact := t.Run(name, func(t *testing.T) {
			act(t)
			rig.ExpectService(t, p.source, p.apps, "web-east", rig.IsStill(web), isAsBefore(web))
			rig.ExpectService(t, p.source, p.apps, "api-east", rig.IsStill(api), isAsBefore(api))
			rig.ExpectSlices(t, p.source, p.apps, "web-east", throughGatewayOnly)
			rig.ExpectSlices(t, p.source, p.apps, "api-east", rig.ReadyAddresses("203.0.113.50"))
		})
		if !intact {
			return // the others start from what this one leaves
		}
	}
}

// MIR-6: a selector makes Kubernetes add this cluster's own pods to a mirror, and leave them there when it goes. They go with it.
func TestSelectorOfAMirrorIsRemovedWithItsEndpoints(t *testing.T) {
	clusters := rig.New(t, rig.ClusterOptions{Controllers: []string{rig.EndpointSliceController, rig.EndpointsController, rig.EndpointSliceMirroring, rig.ServiceAccountController}}, rig.ClusterOptions{})
	p := newPair(t, clusters[0], clusters[1])
	p.neverForbidden(t)
	gateway(t, gatewayAddress)
	p.export(t, "web", v1alpha3.ExportedGateway)
	p.link(t, "east", throughGateway())
	run := p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", throughGatewayOnly)
	web := rig.ExpectService(t, p.source, p.apps, "web-east")
	run.stop(t)
	p.localPod(t, "mine", "203.0.113.77")
	rig.Update(t, p.source, p.service("web-east"), func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "mine"} })
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP, "203.0.113.77"))

	p.run(t)
	rig.ExpectService(t, p.source, p.apps, "web-east", rig.IsStill(web), isAsBefore(web))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", throughGatewayOnly)
}

// localPod is a ready pod of the source cluster, on a node of its own.
func (p *pair) localPod(t *testing.T, app, ip string) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.apps, Name: app, Labels: map[string]string{"app": app}},
		Spec:       corev1.PodSpec{NodeName: app, Containers: []corev1.Container{{Name: "app", Image: "none"}}, AutomountServiceAccountToken: new(false)},
	}
	rig.Create(t, p.source, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: app}}, pod)
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	if err := p.source.Client().Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
}

// isAsBefore wants of a mirror what we wrote of it.
func isAsBefore(before *corev1.Service) func(*corev1.Service) error {
	checks := []func(*corev1.Service) error{rig.HasPorts(portsOf(before)...)}
	for key, value := range before.Labels {
		checks = append(checks, rig.HasLabel(key, value))
	}
	for key, value := range before.Annotations {
		checks = append(checks, rig.HasAnnotation(key, value))
	}
	return func(svc *corev1.Service) error {
		for _, check := range checks {
			if err := check(svc); err != nil {
				return err
			}
		}
		if len(svc.Spec.Selector) > 0 {
			return fmt.Errorf("it has the selector %v", svc.Spec.Selector)
		}
		return same("type", before.Spec.Type, svc.Spec.Type)
	}
}

func portsOf(svc *corev1.Service) []corev1.ServicePort {
	var out []corev1.ServicePort
	for _, port := range svc.Spec.Ports {
		out = append(out, corev1.ServicePort{Name: port.Name, Port: port.Port, Protocol: port.Protocol, AppProtocol: port.AppProtocol})
	}
	return out
}

// throughGatewayOnly wants the one slice of the usual gateway.
func throughGatewayOnly(list []*discoveryv1.EndpointSlice) error {
	if err := rig.ReadyAddresses(gatewayIP)(list); err != nil {
		return err
	}
	if err := hasAnnotation(list, v1alpha3.AnnotationRemoteGatewayIdentity, "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"); err != nil {
		return err
	}
	if len(list) != 1 || len(list[0].Ports) != 1 {
		return same("slices or ports", 1, len(list)+len(list[0].Ports)-1)
	}
	return same("port", 4143, *list[0].Ports[0].Port)
}

// A mirror that somebody deletes is made again, with endpoints; its ClusterIP is the API server's to choose.
func TestDeletedMirrorIsMadeAgain(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.export(t, "web", v1alpha3.ExportedGateway)
	p.link(t, "east", throughGateway())
	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	for range 5 {
		mirror := rig.ExpectService(t, p.source, p.apps, "web-east")
		rig.Delete(t, p.source, mirror)
		rig.ExpectService(t, p.source, p.apps, "web-east", func(svc *corev1.Service) error {
			if svc.UID == mirror.UID {
				return same("UID", "another one", string(svc.UID))
			}
			return nil
		})
		rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	}
}

// LESSON-8: the marks say whose a Service is. Somebody who takes one away takes the Service over: it
// is left alone, loses our endpoints, and comes back to us with the mark.
func TestMirrorWithoutItsMarkIsLeftAlone(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.export(t, "web", v1alpha3.ExportedGateway)
	key := p.link(t, "east", throughGateway())
	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))

	for name, label := range map[string]string{"cluster name": v1alpha3.LabelClusterName, "mirrored service": v1alpha3.LabelMirroredService} {
		t.Run(name, func(t *testing.T) {
			var value string
			taken := rig.Update(t, p.source, p.service("web-east"), func(svc *corev1.Service) {
				value = svc.Labels[label]
				delete(svc.Labels, label)
			})
			p.expectLinkEvent(t, key, v1alpha3.ReasonNameConflict, "web")
			p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 1, Refused: 1})
			rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses())
			rig.ExpectService(t, p.source, p.apps, "web-east", rig.IsStill(taken), func(svc *corev1.Service) error {
				return same("resourceVersion", taken.ResourceVersion, svc.ResourceVersion)
			})
			rig.Update(t, p.source, p.service("web-east"), func(svc *corev1.Service) { svc.Labels[label] = value })
			rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
			p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 1, Mirrored: 1})
		})
	}
}

// Ports are merged by number, so a renumbered port is one of theirs beside one of ours, and both have
// one name. It is put back all the same, and still goes when its source does.
func TestRenumberedPortIsPutBack(t *testing.T) {
	p := sharedPair(t)
	web := p.export(t, "web", v1alpha3.ExportedRemoteDiscovery, rig.WithPorts(rig.Port("http", 80), rig.Port("admin", 9090)))
	p.link(t, "east")
	p.run(t)
	mirror := rig.ExpectService(t, p.source, p.apps, "web-east")
	rig.Update(t, p.source, p.service("web-east"), func(svc *corev1.Service) {
		svc.Spec.Ports[0].Port, svc.Spec.Ports[1].Port = 81, 9091
		svc.Labels["owner"] = "us"
	})
	rig.ExpectService(t, p.source, p.apps, "web-east", rig.IsStill(mirror), rig.HasLabel("owner", "us"),
		rig.HasPorts(rig.Port("http", 80), rig.Port("admin", 9090)))
	rig.Update(t, p.target, web, func(svc *corev1.Service) { svc.Spec.Ports = svc.Spec.Ports[:1] })
	rig.ExpectService(t, p.source, p.apps, "web-east", rig.IsStill(mirror), rig.HasLabel("owner", "us"), rig.HasPorts(rig.Port("http", 80)))
}
