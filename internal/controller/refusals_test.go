package controller

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// MIR-4, LESSON-54, LESSON-56: what cannot be mirrored is refused whole and with a reason, and
// mirrored once it is mended.
func TestRefusedServices(t *testing.T) {
	long := strings.Repeat("a", 59)
	cases := map[string]struct {
		service string
		options []rig.ServiceOption
		reason  string
		mend    func(*corev1.Service)
	}{
		"name of 64 characters with the suffix": {service: long, reason: v1alpha3.ReasonNameTooLong},
		"ExternalName": {
			service: "alias", reason: v1alpha3.ReasonExternalName,
			options: []rig.ServiceOption{func(svc *corev1.Service) {
				svc.Spec.Type, svc.Spec.ExternalName = corev1.ServiceTypeExternalName, "db.example.com"
			}},
			mend: func(svc *corev1.Service) {
				svc.Spec.Type, svc.Spec.ExternalName = corev1.ServiceTypeClusterIP, ""
			},
		},
		"UDP through a gateway": {
			service: "dns", reason: v1alpha3.ReasonProtocolUnsupported,
			options: []rig.ServiceOption{rig.WithPorts(corev1.ServicePort{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP})},
			mend:    func(svc *corev1.Service) { svc.Labels[v1alpha3.LabelExported] = v1alpha3.ExportedRemoteDiscovery },
		},
		"SCTP through a gateway": {
			service: "sctp", reason: v1alpha3.ReasonProtocolUnsupported,
			options: []rig.ServiceOption{rig.WithPorts(rig.Port("http", 80), corev1.ServicePort{Name: "sctp", Port: 90, Protocol: corev1.ProtocolSCTP})},
			mend:    func(svc *corev1.Service) { svc.Spec.Ports = svc.Spec.Ports[:1] },
		},
		"headless": {service: "headless", reason: v1alpha3.ReasonHeadlessUnsupported, options: []rig.ServiceOption{rig.Headless()}},
		"mirror": {
			service: "mirror-of-ours", reason: v1alpha3.ReasonMirrorOfMirror,
			options: []rig.ServiceOption{rig.WithLabel(v1alpha3.LabelMirroredService, "true"), rig.WithLabel(v1alpha3.LabelClusterName, "west")},
			mend: func(svc *corev1.Service) {
				delete(svc.Labels, v1alpha3.LabelMirroredService)
				delete(svc.Labels, v1alpha3.LabelClusterName)
			},
		},
		"federated service": {
			service: "union", reason: v1alpha3.ReasonMirrorOfMirror,
			options: []rig.ServiceOption{rig.WithAnnotation(v1alpha3.AnnotationRemoteDiscovery, "web@west")},
			mend:    func(svc *corev1.Service) { delete(svc.Annotations, v1alpha3.AnnotationRemoteDiscovery) },
		},
	}
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	p.export(t, "web", v1alpha3.ExportedGateway)
	for _, test := range cases {
		p.export(t, test.service, v1alpha3.ExportedGateway, test.options...)
	}
	key := p.link(t, "east", throughGateway())
	p.run(t)
	n := int32(len(cases))
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: n + 1, Mirrored: 1, Refused: n})
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionSynced, metav1.ConditionTrue, v1alpha3.ReasonServicesRefused)
	if made := p.mirrorsOf(t, "east"); len(made) != 1 {
		t.Errorf("there are %d mirrors, want that of web alone", len(made))
	}

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			p.expectLinkEvent(t, key, test.reason, p.apps+"/"+test.service)
			p.expectEntry(t, key, test.service, metav1.ConditionFalse, test.reason)
			if test.mend == nil { // a name or a ClusterIP cannot change: another Service takes its place
				rig.Delete(t, p.target, p.service(test.service), p.slice(test.service))
				p.export(t, strings.TrimPrefix(test.service, "a"), v1alpha3.ExportedGateway)
				rig.ExpectService(t, p.source, p.apps, strings.TrimPrefix(test.service, "a")+"-east")
				return
			}
			rig.Update(t, p.target, p.service(test.service), test.mend)
			rig.ExpectService(t, p.source, p.apps, test.service+"-east")
			p.expectEntry(t, key, test.service, metav1.ConditionTrue, v1alpha3.ReasonMirrored)
		})
	}
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: n + 1, Mirrored: n + 1})
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
}

// LESSON-56: what a gateway cannot carry goes pod to pod.
func TestEveryProtocolGoesPodToPod(t *testing.T) {
	p := sharedPair(t)
	ports := []corev1.ServicePort{
		{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
		{Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP},
		{Name: "sctp", Port: 90, Protocol: corev1.ProtocolSCTP},
	}
	p.export(t, "dns", v1alpha3.ExportedRemoteDiscovery, rig.WithPorts(ports...))
	p.link(t, "east")
	p.run(t)
	rig.ExpectService(t, p.source, p.apps, "dns-east", rig.HasPorts(ports...))
	rig.ExpectSlices(t, p.source, p.apps, "dns-east", rig.ReadyAddresses("203.0.113.50"))
}

// A Service that was mirrored and becomes one that cannot be keeps its mirror, and the Link says so:
// nothing is deleted without evidence that it is exported no more.
func TestRefusedLaterKeepsItsMirror(t *testing.T) {
	p := sharedPair(t)
	gateway(t, gatewayAddress)
	web := p.export(t, "web", v1alpha3.ExportedGateway)
	key := p.link(t, "east", throughGateway())
	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	mirror := rig.ExpectService(t, p.source, p.apps, "web-east")

	rig.Update(t, p.target, web, func(svc *corev1.Service) { svc.Spec.Ports[0].Protocol = corev1.ProtocolUDP })
	p.expectEntry(t, key, "web", metav1.ConditionFalse, v1alpha3.ReasonProtocolUnsupported)
	rig.ExpectService(t, p.source, p.apps, "web-east", rig.IsStill(mirror), rig.HasPorts(rig.Port("http", 80)))
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses(gatewayIP))
	rig.Update(t, p.target, web, func(svc *corev1.Service) { svc.Spec.Ports[0].Protocol = corev1.ProtocolTCP })
	p.expectEntry(t, key, "web", metav1.ConditionTrue, v1alpha3.ReasonMirrored)
	rig.ExpectService(t, p.source, p.apps, "web-east", rig.IsStill(mirror))
}
