package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

const (
	gatewayIP   = "203.0.113.10"
	gatewayPort = 4143
	probePort   = 4191
	// podPort is where the stand-in pods listen, and servicePort is their Services'.
	podPort     = 8080
	servicePort = 80

	nodeName = "east-node"
)

// workload is a Service and the stand-in pods behind it, by name.
type workload struct {
	service string
	pods    []pod
}

type pod struct{ name, ip string }

func (p pod) address() string { return joinPort(p.ip, podPort) }

// answer is what the pod says to every request.
func (p pod) answer() string { return p.name + " in east" }

func web() workload {
	return workload{service: "web", pods: []pod{{"web-1", "203.0.113.21"}, {"web-2", "203.0.113.22"}}}
}

func cart() workload {
	return workload{service: "cart", pods: []pod{{"cart-1", "203.0.113.31"}, {"cart-2", "203.0.113.32"}}}
}

// runShop creates the workloads in east. Nothing runs the pods: HTTP servers stand in for them, and
// their status says what a kubelet would say. At each ClusterIP a proxy stands in for kube-proxy, and
// passes all on to the first pod. All else is real: east's own controller makes the EndpointSlices.
func (s *stage) runShop(ctx context.Context) error {
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shop}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "default"}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}},
	}
	for _, object := range objects {
		if err := create(ctx, s.east, object); err != nil {
			return err
		}
	}
	for _, w := range []workload{web(), cart()} {
		if err := s.runWorkload(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) runWorkload(ctx context.Context, w workload) error {
	service := rig.Service(shop, w.service, rig.WithSelector("app", w.service))
	service.Spec.Ports[0].TargetPort = intstr.FromInt32(podPort)
	if err := create(ctx, s.east, service); err != nil {
		return err
	}
	front, err := rig.NewProxy(joinPort(service.Spec.ClusterIP, servicePort), w.pods[0].address())
	if err != nil {
		return fmt.Errorf("stand in for kube-proxy at %s's ClusterIP: %w", w.service, err)
	}
	s.atEnd(front.Close)
	for _, p := range w.pods {
		server, err := rig.NewGateway(p.address(), p.answer())
		if err != nil {
			return fmt.Errorf("stand in for pod %s: %w", p.name, err)
		}
		s.atEnd(server.Close)
		if err := s.createPod(ctx, w.service, p); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) createPod(ctx context.Context, app string, p pod) error {
	object := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: p.name, Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{
			NodeName:                     nodeName,
			AutomountServiceAccountToken: new(false),
			Containers:                   []corev1.Container{{Name: "server", Image: "stand-in"}},
		},
	}
	if err := create(ctx, s.east, object); err != nil {
		return err
	}
	object.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: p.ip, PodIPs: []corev1.PodIP{{IP: p.ip}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	if err := s.east.Client().Status().Update(ctx, object); err != nil {
		return fmt.Errorf("say that pod %s is ready: %w", p.name, err)
	}
	return nil
}

// createGateway makes the Service of the gateway, which `mirror link` reads.
func (s *stage) createGateway(ctx context.Context) error {
	service := rig.Service(linksNamespace, "linkerd-gateway",
		rig.WithPorts(rig.Port(v1alpha3.PortNameGateway, gatewayPort), rig.Port(v1alpha3.PortNameProbe, probePort)),
		rig.WithAnnotation(v1alpha3.AnnotationMulticlusterGateway, "true"),
		rig.WithAnnotation(v1alpha3.AnnotationGatewayIdentity, ingressIdentity),
		rig.WithAnnotation(v1alpha3.AnnotationProbePath, "/ready"),
		rig.WithAnnotation(v1alpha3.AnnotationProbePeriod, "1"),
		rig.WithAnnotation(v1alpha3.AnnotationProbeFailureThreshold, "2"),
	)
	service.Spec.Type = corev1.ServiceTypeLoadBalancer
	service.Spec.AllocateLoadBalancerNodePorts = new(false)
	if err := create(ctx, s.east, service); err != nil {
		return err
	}
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: gatewayIP}}
	if err := s.east.Client().Status().Update(ctx, service); err != nil {
		return fmt.Errorf("give the gateway its address: %w", err)
	}
	return nil
}

func create(ctx context.Context, c *rig.Cluster, object client.Object) error {
	if err := c.Client().Create(ctx, object); err != nil {
		return fmt.Errorf("create %T %s in %s: %w", object, client.ObjectKeyFromObject(object), c.Name(), err)
	}
	return nil
}

func joinPort(ip string, port int) string { return net.JoinHostPort(ip, strconv.Itoa(port)) }

// within says whether an address lies in a range.
func within(address, cidr string) bool {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	prefix, err := netip.ParsePrefix(cidr)
	return err == nil && prefix.Contains(ip)
}
