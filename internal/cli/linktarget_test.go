package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// gatewayService is one as Linkerd's chart makes it, with an address.
func gatewayService(change func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{}
	s.Namespace, s.Name = "linkerd-multicluster", "linkerd-gateway"
	s.Annotations = map[string]string{
		v1alpha3.AnnotationGatewayIdentity: "gw.example", v1alpha3.AnnotationProbePeriod: "3", v1alpha3.AnnotationProbePath: "/ready",
	}
	s.Spec.Type = corev1.ServiceTypeLoadBalancer
	s.Spec.Ports = []corev1.ServicePort{
		{Name: "mc-gateway", Port: 4143, NodePort: 30043}, {Name: "mc-probe", Port: 4191, NodePort: 30091},
	}
	s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.7"}, {}, {Hostname: "gw.example.com"}}
	if change != nil {
		change(s)
	}
	return s
}

func TestGatewaySpec(t *testing.T) {
	t.Parallel()
	probe := v1alpha3.ProbeSpec{Path: "/ready", Port: "4191", Period: "3s"}
	both := []string{"203.0.113.7", "gw.example.com"}
	cases := map[string]struct {
		change    func(*corev1.Service)
		addresses []string
		port      uint16
		want      link.GatewaySpec
	}{
		"load balancer": {want: link.GatewaySpec{Addresses: both, Port: 4143, Identity: "gw.example", Probe: probe}},
		"node ports": {
			change:    func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort },
			addresses: []string{"203.0.113.9"},
			want: link.GatewaySpec{Addresses: []string{"203.0.113.9"}, Port: 30043, Identity: "gw.example",
				Probe: v1alpha3.ProbeSpec{Path: "/ready", Port: "30091", Period: "3s"}},
		},
		"overrides": {
			addresses: []string{"a"}, port: 8443,
			want: link.GatewaySpec{Addresses: []string{"a"}, Port: 8443, Identity: "gw.example", Probe: probe},
		},
		"all annotations": {
			change: func(s *corev1.Service) {
				s.Annotations[v1alpha3.AnnotationProbePeriod] = "1m30s"
				s.Annotations[v1alpha3.AnnotationProbeTimeout] = "5s"
				s.Annotations[v1alpha3.AnnotationProbeFailureThreshold] = "7"
				s.Annotations[v1alpha3.AnnotationProbePath] = "/health"
			},
			want: link.GatewaySpec{Addresses: both, Port: 4143, Identity: "gw.example",
				Probe: v1alpha3.ProbeSpec{Path: "/health", Port: "4191", Period: "1m30s", Timeout: "5s", FailureThreshold: "7"}},
		},
		"without Linkerd: no annotations": {
			change: func(s *corev1.Service) { s.Annotations = nil },
			want:   link.GatewaySpec{Addresses: both, Port: 4143, Probe: probe},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := gatewaySpec(gatewayService(tc.change), tc.addresses, tc.port)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, *got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestGatewaySpecRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*corev1.Service)
		want   string
	}{
		"no address":       {func(s *corev1.Service) { s.Status = corev1.ServiceStatus{} }, "--gateway-addresses"},
		"no gateway port":  {func(s *corev1.Service) { s.Spec.Ports = s.Spec.Ports[1:] }, "mc-gateway"},
		"no probe port":    {func(s *corev1.Service) { s.Spec.Ports = s.Spec.Ports[:1] }, "mc-probe"},
		"no node port yet": {func(s *corev1.Service) { s.Spec.Type, s.Spec.Ports[0].NodePort = corev1.ServiceTypeNodePort, 0 }, "mc-gateway"},
		"bad period":       {func(s *corev1.Service) { s.Annotations[v1alpha3.AnnotationProbePeriod] = "soon" }, v1alpha3.AnnotationProbePeriod},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := gatewaySpec(gatewayService(tc.change), nil, 0); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v, want one with %s", err, tc.want)
			}
		})
	}
}

// LINK-7: an address that means this machine is no address for another cluster.
func TestCheckServer(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ plain, overridden bool }{
		"https://203.0.113.1:6443":          {true, true},
		"https://api.east.example":          {true, true},
		"https://10.0.0.1:6443":             {true, true},
		"https://localhost:6443":            {false, true},
		"https://LOCALHOST.:6443":           {false, true},
		"https://api.localhost":             {false, true},
		"https://127.0.0.1:6443":            {false, true},
		"https://127.1.2.3":                 {false, true},
		"https://[::1]:6443":                {false, true},
		"https://[::ffff:127.0.0.1]:6443":   {false, true},
		"https://0.0.0.0:6443":              {false, true},
		"https://[::]:6443":                 {false, true},
		"https://host.docker.internal:6443": {false, true},
		"https://host.k3d.internal:6443":    {false, true},
		"http://203.0.113.1":                {false, false},
		"203.0.113.1:6443":                  {false, false},
		"https://":                          {false, false},
		"https://u:p@api.east.example":      {false, false},
	}
	for address, tc := range cases {
		for overridden, want := range map[bool]bool{false: tc.plain, true: tc.overridden} {
			_, err := checkServer(address, overridden)
			if (err == nil) != want {
				t.Errorf("%s, overridden %v: %v", address, overridden, err)
			}
			if err != nil && !strings.Contains(err.Error(), "--api-server-address") {
				t.Errorf("%s: %v does not name the flag", address, err)
			}
			if err != nil && strings.Contains(err.Error(), "u:p@") {
				t.Errorf("LINK-13: %v shows a password", err)
			}
		}
	}
}
