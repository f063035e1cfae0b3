package controller

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// MIR-2: what is no longer exported has no mirror, after one question to the target itself.
func TestUnexportingDeletesTheMirror(t *testing.T) {
	unexport := map[string]func(*testing.T, *pair){
		"label removed": func(t *testing.T, p *pair) {
			rig.Update(t, p.target, p.service("web"), func(svc *corev1.Service) { delete(svc.Labels, v1alpha3.LabelExported) })
		},
		"label changed to what means nothing": func(t *testing.T, p *pair) {
			rig.Update(t, p.target, p.service("web"), func(svc *corev1.Service) { svc.Labels[v1alpha3.LabelExported] = "false" })
		},
		"service deleted": func(t *testing.T, p *pair) { rig.Delete(t, p.target, p.service("web")) },
	}
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.export(t, "other", v1alpha3.ExportedGateway)
	key := p.link(t, "east", throughGateway())
	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "other-east", rig.ReadyAddresses(gatewayIP))

	for name, act := range unexport {
		t.Run(name, func(t *testing.T) {
			p.export(t, "web", v1alpha3.ExportedGateway)
			rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
			// The status follows the writes: all of them are in the audit log by then.
			p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 2, Mirrored: 2})
			source, target := rig.Mark(t, p.source), rig.Mark(t, p.target)
			act(t, p)
			rig.ExpectNoService(t, p.source, p.apps, "web-east")
			rig.ExpectGone(t, p.source, sliceNamed(p.apps, "web-east-gateway-ipv4"))
			p.expectEvent(t, "Service", p.apps, "web-east", v1alpha3.ReasonMirrorDeleted, "no longer exported")
			p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 1, Mirrored: 1})
			rig.ExpectRequests(t, p.target, target, map[string]int{"get services": 1}, p.toTarget())
			rig.ExpectRequests(t, p.source, source, map[string]int{
				"delete services": 1, "delete endpointslices.discovery.k8s.io": 1,
			}, p.byUs(), rig.Writes(), rig.Of("services", "endpointslices"))
			rig.Delete(t, p.target, p.service("web"), p.slice("web"))
		})
	}
}

// LESSON-27: deleting a Link removes its mirrors and then the Link, whatever the state of its target.
func TestDeletingTheLinkRemovesItsMirrors(t *testing.T) {
	cases := map[string]struct {
		breaks  func(*rig.Proxy) error
		stopped bool // the controller is not running while the Link is deleted
	}{
		"target connected":                        {},
		"target refuses":                          {breaks: (*rig.Proxy).Refuse},
		"target is a black hole":                  {breaks: (*rig.Proxy).Blackhole},
		"target refuses and controller restarted": {breaks: (*rig.Proxy).Refuse, stopped: true},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			p := sharedPair(t)
			proxy, err := p.target.Proxy()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := proxy.Close(); err != nil {
					t.Error(err)
				}
			})
			gateway(t, gatewayAddress)
			p.export(t, "web", v1alpha3.ExportedGateway)
			p.export(t, "api", v1alpha3.ExportedRemoteDiscovery)
			stranger := rig.Service(p.apps, "stranger-east")
			rig.Create(t, p.source, stranger)
			l := rig.Link(p.links, "east", throughGateway())
			rig.Create(t, p.source, p.secret(t, "east", rig.Server(proxy.URL())), l)
			key := client.ObjectKeyFromObject(l)
			run := p.run(t)
			p.expectAllReady(t, "east", 2)
			rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, "")

			if test.stopped {
				run.stop(t)
			}
			if test.breaks != nil {
				if err := test.breaks(proxy); err != nil {
					t.Fatal(err)
				}
			}
			rig.Delete(t, p.source, l)
			if test.stopped {
				p.run(t)
			}
			rig.ExpectGone(t, p.source, l)
			if left := p.mirrorsOf(t, "east"); len(left) > 0 {
				t.Errorf("the Link is gone and %d mirrors are left", len(left))
			}
			rig.ExpectList(t, p.source, &discoveryv1.EndpointSlice{}, rig.In(p.apps), func(list []*discoveryv1.EndpointSlice) error {
				if len(list) > 0 {
					t.Errorf("the Link is gone and %d slices are left", len(list))
				}
				return nil
			})
			rig.ExpectService(t, p.source, p.apps, "stranger-east", sameUID(stranger.UID))
		})
	}
}

// Stopping the controller removes nothing (MODE-9).
func TestStoppingRemovesNothing(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.export(t, "web", v1alpha3.ExportedGateway)
	key := p.link(t, "east", throughGateway())
	run := p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	// Whatever there is to write of a link that works is written before the measurement begins.
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 1, Mirrored: 1})
	rig.ExpectNothingWritten(t, p.source, func() { run.stop(t) }, p.controller.Name)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
}
