//go:build linux

package nodes_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/nodes"
)

const (
	// patience is for a start on two busy cores, soon for everything after it.
	patience   = 5 * time.Minute
	soon       = 2 * time.Minute
	probeImage = "ghcr.io/linkspan/probe:v1"
	probePort  = 8080
)

// start starts clusters whose nodes have the probe's image.
func start(t *testing.T, clusters ...nodes.ClusterOptions) *nodes.Fleet {
	t.Helper()
	nodes.Need(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	archive, err := nodes.Archive(ctx, t.TempDir(), nodes.Binary{Image: probeImage, Package: "./probe"})
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := nodes.Start(ctx, nodes.Options{Clusters: clusters, Images: []string{archive}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Close(); err != nil {
			t.Error(err)
		}
	})
	return fleet
}

// startProbe runs a pod on a node, any when empty, behind a Service of type LoadBalancer, both of one name, and returns the pod when it is ready.
func startProbe(t *testing.T, cluster *nodes.Cluster, name, node string) *corev1.Pod {
	t.Helper()
	labels := map[string]string{"app": name}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name, Labels: labels},
		Spec: corev1.PodSpec{
			NodeName: node, TerminationGracePeriodSeconds: new(int64(0)),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "probe", Image: probeImage, Args: []string{"serve", name, fmt.Sprint(probePort)},
				ReadinessProbe: &corev1.Probe{
					ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(probePort)}},
					PeriodSeconds: 1,
				},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: labels,
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(probePort)}},
		},
	}
	for _, object := range []client.Object{pod, service} {
		if err := cluster.Client().Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, "pod "+name+" to be ready", func() error {
		if err := cluster.Client().Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("its status is %s %v", pod.Status.Phase, pod.Status.ContainerStatuses)
	})
	return pod
}

// balancerOf is the address of a Service's load balancer.
func balancerOf(t *testing.T, cluster *nodes.Cluster, name string) (address string) {
	t.Helper()
	expect(t, "Service "+name+" to have an address", func() error {
		var service corev1.Service
		if err := cluster.Client().Get(t.Context(), client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}, &service); err != nil {
			return err
		}
		if len(service.Status.LoadBalancer.Ingress) == 0 {
			return errors.New("there is none")
		}
		address = service.Status.LoadBalancer.Ingress[0].IP
		return nil
	})
	return address
}

// says runs the probe in the pod client.
func says(t *testing.T, cluster *nodes.Cluster, what, want string, args ...string) {
	t.Helper()
	expect(t, "an answer of "+what, func() error {
		got, err := cluster.Exec(t.Context(), metav1.NamespaceDefault, "client", "", append([]string{"/probe"}, args...)...)
		if err == nil && got != want {
			err = fmt.Errorf("it says %q, want %q", got, want)
		}
		return err
	})
}

func expect(t *testing.T, what string, ask func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := nodes.Await(ctx, func(context.Context) error { return ask() }); err != nil {
		t.Fatalf("waited for %s: %v", what, err)
	}
}
