package controller

import (
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// everything is a Service with every field set that its type allows.
func everything(namespace string) *corev1.Service {
	return rig.Service(namespace, "web", rig.Exported(v1alpha3.ExportedRemoteDiscovery), rig.WithSelector("app", "web"),
		rig.WithPorts(
			corev1.ServicePort{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, AppProtocol: new("kubernetes.io/h2c"), TargetPort: intstr.FromInt32(8080)},
			corev1.ServicePort{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromString("dns-udp")},
			corev1.ServicePort{Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP},
			corev1.ServicePort{Name: "diameter", Port: 3868, Protocol: corev1.ProtocolSCTP},
		),
		func(svc *corev1.Service) {
			svc.Spec.Type = corev1.ServiceTypeLoadBalancer
			svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
			svc.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(int32(600))}}
			svc.Spec.TrafficDistribution = new(corev1.ServiceTrafficDistributionPreferSameZone)
			svc.Spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyLocal)
			svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
			svc.Spec.ExternalIPs = []string{"198.51.100.7"}
			svc.Spec.LoadBalancerClass = new("example.com/lb")
			svc.Spec.LoadBalancerSourceRanges = []string{"198.51.100.0/24"}
			svc.Spec.PublishNotReadyAddresses = true
			svc.Labels["app.kubernetes.io/name"] = "web"
			svc.Labels["team"] = "shop"
			svc.Annotations = map[string]string{"config.linkerd.io/opaque-ports": "3868", "balancer.linkerd.io/failure-accrual": "consecutive"}
		})
}

// LESSON-15, MIR-8: what a mirror takes over of the spec, and nothing else.
func TestMirrorHasTheFieldsOfItsService(t *testing.T) {
	p := sharedPair(t)
	web := everything(p.apps)
	rig.Create(t, p.target, web, rig.EndpointSlice(web, []string{"203.0.113.50"}))
	p.link(t, "east")
	p.run(t)

	want := corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP,
		Ports: []corev1.ServicePort{
			{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, AppProtocol: new("kubernetes.io/h2c")},
			{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
			{Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP},
			{Name: "diameter", Port: 3868, Protocol: corev1.ProtocolSCTP},
		},
		SessionAffinity:       corev1.ServiceAffinityClientIP,
		SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(int32(600))}},
		TrafficDistribution:   new(corev1.ServiceTrafficDistributionPreferSameZone),
		IPFamilyPolicy:        new(corev1.IPFamilyPolicyPreferDualStack),
		InternalTrafficPolicy: new(corev1.ServiceInternalTrafficPolicyCluster), // the API server's default
	}
	mirror := rig.ExpectService(t, p.source, p.apps, "web-east")
	decidedHere := cmpopts.IgnoreFields(corev1.ServiceSpec{}, "ClusterIP", "ClusterIPs", "IPFamilies")
	if diff := cmp.Diff(want, mirror.Spec, decidedHere, cmpopts.IgnoreFields(corev1.ServicePort{}, "TargetPort")); diff != "" {
		t.Errorf("spec of the mirror (-want +got):\n%s", diff)
	}
	wantLabels := map[string]string{
		"app.kubernetes.io/name": "web", "team": "shop",
		v1alpha3.LabelMirroredService: "true", v1alpha3.LabelClusterName: "east",
		v1alpha3.LabelRemoteDiscovery: "east", v1alpha3.LabelRemoteService: "web",
	}
	if diff := cmp.Diff(wantLabels, mirror.Labels); diff != "" {
		t.Errorf("labels of the mirror (-want +got):\n%s", diff)
	}
	annotations := maps.Clone(mirror.Annotations)
	delete(annotations, v1alpha3.AnnotationAppliedHash)
	wantAnnotations := map[string]string{
		"config.linkerd.io/opaque-ports": "3868", "balancer.linkerd.io/failure-accrual": "consecutive",
		v1alpha3.AnnotationRemoteServiceFQName:   "web." + p.apps + ".svc.cluster.local",
		v1alpha3.AnnotationRemoteResourceVersion: web.ResourceVersion,
	}
	if diff := cmp.Diff(wantAnnotations, annotations); diff != "" {
		t.Errorf("annotations of the mirror (-want +got):\n%s", diff)
	}
}

// LESSON-15, LESSON-14: each field that is copied follows its source, also when it goes.
func TestChangesPropagate(t *testing.T) {
	p := sharedPair(t)
	web := p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	p.link(t, "east")
	p.run(t)
	before := rig.ExpectService(t, p.source, p.apps, "web-east")

	steps := []struct {
		name   string
		change func(*corev1.Service)
		check  func(*corev1.Service) error
	}{
		{"label added", func(s *corev1.Service) { s.Labels["tier"] = "front" }, rig.HasLabel("tier", "front")},
		{"label changed", func(s *corev1.Service) { s.Labels["tier"] = "back" }, rig.HasLabel("tier", "back")},
		{"label removed", func(s *corev1.Service) { delete(s.Labels, "tier") }, rig.LacksLabel("tier")},
		{
			"opaque ports set (MIR-9)", func(s *corev1.Service) { s.Annotations = map[string]string{"config.linkerd.io/opaque-ports": "80"} },
			rig.HasAnnotation("config.linkerd.io/opaque-ports", "80"),
		},
		{
			"opaque ports removed (MIR-9)", func(s *corev1.Service) { delete(s.Annotations, "config.linkerd.io/opaque-ports") },
			rig.LacksAnnotation("config.linkerd.io/opaque-ports"),
		},
		{
			"port added", func(s *corev1.Service) { s.Spec.Ports = append(s.Spec.Ports, rig.Port("admin", 9090)) },
			rig.HasPorts(rig.Port("http", 80), rig.Port("admin", 9090)),
		},
		{
			"port renumbered", func(s *corev1.Service) { s.Spec.Ports[1].Port = 9091 },
			rig.HasPorts(rig.Port("http", 80), rig.Port("admin", 9091)),
		},
		{
			"port renamed", func(s *corev1.Service) { s.Spec.Ports[0].Name = "web" },
			rig.HasPorts(rig.Port("web", 80), rig.Port("admin", 9091)),
		},
		{
			"names swapped", func(s *corev1.Service) { s.Spec.Ports[0].Name, s.Spec.Ports[1].Name = "admin", "web" },
			rig.HasPorts(rig.Port("admin", 80), rig.Port("web", 9091)),
		},
		{"appProtocol set", func(s *corev1.Service) { s.Spec.Ports[0].AppProtocol = new("https") }, hasAppProtocol(0, new("https"))},
		{"appProtocol changed", func(s *corev1.Service) { s.Spec.Ports[0].AppProtocol = new("http") }, hasAppProtocol(0, new("http"))},
		{"appProtocol removed", func(s *corev1.Service) { s.Spec.Ports[0].AppProtocol = nil }, hasAppProtocol(0, nil)},
		{
			"protocol changed", func(s *corev1.Service) { s.Spec.Ports[1].Protocol = corev1.ProtocolUDP },
			func(s *corev1.Service) error { return same("protocol", corev1.ProtocolUDP, s.Spec.Ports[1].Protocol) },
		},
		{
			"port removed", func(s *corev1.Service) { s.Spec.Ports = s.Spec.Ports[:1] },
			rig.HasPorts(rig.Port("admin", 80)),
		},
		{"affinity set", affinity(new(int32(60))), hasAffinity(new(int32(60)))},
		{"affinity changed", affinity(new(int32(90))), hasAffinity(new(int32(90)))},
		{"affinity removed", affinity(nil), hasAffinity(nil)},
		{"distribution set", distribution("PreferClose"), hasDistribution("PreferClose")},
		{"distribution changed", distribution("PreferSameZone"), hasDistribution("PreferSameZone")},
		{"distribution removed", distribution(""), hasDistribution("")},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			// Update sends a merge patch, in which a list is sent whole.
			rig.Update(t, p.target, web, step.change)
			rig.ExpectService(t, p.source, p.apps, "web-east", step.check, rig.IsStill(before))
		})
	}
}

func same[T comparable](what string, want, got T) error {
	if want != got {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}

func hasAppProtocol(port int, want *string) func(*corev1.Service) error {
	return func(svc *corev1.Service) error {
		if diff := cmp.Diff(want, svc.Spec.Ports[port].AppProtocol); diff != "" {
			return fmt.Errorf("appProtocol (-want +got):\n%s", diff)
		}
		return nil
	}
}

// affinity sets the session affinity of a timeout, or none.
func affinity(seconds *int32) func(*corev1.Service) {
	return func(svc *corev1.Service) {
		svc.Spec.SessionAffinity, svc.Spec.SessionAffinityConfig = corev1.ServiceAffinityNone, nil
		if seconds != nil {
			svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
			svc.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: seconds}}
		}
	}
}

func hasAffinity(seconds *int32) func(*corev1.Service) error {
	return func(svc *corev1.Service) error {
		want := corev1.Service{}
		affinity(seconds)(&want)
		got := corev1.ServiceSpec{SessionAffinity: svc.Spec.SessionAffinity, SessionAffinityConfig: svc.Spec.SessionAffinityConfig}
		if diff := cmp.Diff(want.Spec, got); diff != "" {
			return fmt.Errorf("session affinity (-want +got):\n%s", diff)
		}
		return nil
	}
}

func distribution(value string) func(*corev1.Service) {
	return func(svc *corev1.Service) {
		svc.Spec.TrafficDistribution = nil
		if value != "" {
			svc.Spec.TrafficDistribution = &value
		}
	}
}

func hasDistribution(value string) func(*corev1.Service) error {
	return func(svc *corev1.Service) error {
		want := corev1.Service{}
		distribution(value)(&want)
		if diff := cmp.Diff(want.Spec.TrafficDistribution, svc.Spec.TrafficDistribution); diff != "" {
			return fmt.Errorf("traffic distribution (-want +got):\n%s", diff)
		}
		return nil
	}
}

// LESSON-14: what makes other tools act on the object that carries it stays behind, and so does what
// the Link excludes, matched at the slash.
func TestExcludedMetadataStaysBehind(t *testing.T) {
	p := sharedPair(t)
	denied := []string{
		"kubectl.kubernetes.io/last-applied-configuration", "argocd.argoproj.io/tracking-id", "meta.helm.sh/release-name",
		"kustomize.toolkit.fluxcd.io/checksum", "external-dns.alpha.kubernetes.io/hostname", "prometheus.io/scrape",
		"service.beta.kubernetes.io/aws-load-balancer-type", "service.kubernetes.io/topology-mode",
		"service.kubernetes.io/topology-aware-hints",
	}
	web := rig.Service(p.apps, "web", rig.Exported(v1alpha3.ExportedRemoteDiscovery), rig.WithSelector("app", "web"))
	for _, key := range denied {
		rig.WithAnnotation(key, "{}")(web)
	}
	for _, key := range []string{"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "kustomize.toolkit.fluxcd.io/name", "mirror.linkerd.io/other"} {
		rig.WithLabel(key, "shop")(web)
	}
	for _, set := range []func(string, string) rig.ServiceOption{rig.WithLabel, rig.WithAnnotation} {
		for _, key := range []string{"exact", "exactly", "example.com/a", "example.com/b", "example.community/a", "deep.example.com/a"} {
			set(key, "x")(web)
		}
	}
	rig.Create(t, p.target, web, rig.EndpointSlice(web, []string{"203.0.113.50"}))
	key := p.link(t, "east", func(l *v1alpha3.Link) {
		l.Spec.ExcludedLabels = []string{"exact", "example.com/*"}
		l.Spec.ExcludedAnnotations = []string{"exact", "example.com/*"}
	})
	p.run(t)

	expect := func(checks ...func(*corev1.Service) error) {
		t.Helper()
		for _, key := range denied {
			checks = append(checks, rig.LacksAnnotation(key))
		}
		for _, key := range []string{"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "kustomize.toolkit.fluxcd.io/name", "mirror.linkerd.io/other", v1alpha3.LabelExported} {
			checks = append(checks, rig.LacksLabel(key))
		}
		for _, key := range []string{"exactly", "example.community/a", "deep.example.com/a"} {
			checks = append(checks, rig.HasLabel(key, "x"), rig.HasAnnotation(key, "x"))
		}
		rig.ExpectService(t, p.source, p.apps, "web-east", checks...)
	}
	expect(rig.LacksLabel("exact"), rig.LacksLabel("example.com/a"), rig.LacksLabel("example.com/b"),
		rig.LacksAnnotation("exact"), rig.LacksAnnotation("example.com/a"), rig.LacksAnnotation("example.com/b"))

	// The lists can change: what is excluded no more comes, what is excluded now goes.
	rig.Update(t, p.source, linkNamed(key), func(l *v1alpha3.Link) {
		l.Spec.ExcludedLabels, l.Spec.ExcludedAnnotations = []string{"example.com/b"}, []string{"example.com/a"}
	})
	expect(rig.HasLabel("exact", "x"), rig.HasLabel("example.com/a", "x"), rig.LacksLabel("example.com/b"),
		rig.HasAnnotation("exact", "x"), rig.LacksAnnotation("example.com/a"), rig.HasAnnotation("example.com/b", "x"))
}

// Architecture decision 3, LESSON-14: what others add to a mirror stays, through every change of ours.
func TestForeignAdditionsSurvive(t *testing.T) {
	p := sharedPair(t)
	web := p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	p.link(t, "east")
	run := p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.50"))

	mirror := rig.Update(t, p.source, p.service("web-east"), func(svc *corev1.Service) {
		svc.Labels["owner"], svc.Annotations["note.example.com/by"] = "us", "hand"
	})
	slice := rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.50"))[0]
	rig.Update(t, p.source, slice, func(s *discoveryv1.EndpointSlice) { s.Labels["owner"] = "us" })

	rig.Update(t, p.target, web, func(svc *corev1.Service) { svc.Labels["round"] = "2" })
	kept := []func(*corev1.Service) error{rig.HasLabel("owner", "us"), rig.HasAnnotation("note.example.com/by", "hand"), rig.IsStill(mirror)}
	rig.ExpectService(t, p.source, p.apps, "web-east", append(kept, rig.HasLabel("round", "2"))...)

	run.stop(t)
	rig.Update(t, p.target, web, func(svc *corev1.Service) { svc.Labels["round"] = "3" })
	rig.Update(t, p.target, p.slice("web"), func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Addresses = []string{"203.0.113.51"} })
	p.run(t)
	rig.ExpectService(t, p.source, p.apps, "web-east", append(kept, rig.HasLabel("round", "3"))...)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", func(list []*discoveryv1.EndpointSlice) error {
		if err := rig.ReadyAddresses("203.0.113.51")(list); err != nil {
			return err
		}
		return same("label owner of the slice", "us", list[0].Labels["owner"])
	})
}
