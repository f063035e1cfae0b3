package scenarios

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/app/manifests"
	"github.com/linkspan/linkspan/test/nodes"
)

// Components of ours, by their label.
const (
	controller     = "controller"
	ingress        = "ingress"
	egress         = "egress"
	componentLabel = "app.kubernetes.io/component"
)

// podsOf are pods that are not being deleted.
func podsOf(ctx context.Context, c *nodes.Cluster, namespace string, which client.MatchingLabels) ([]corev1.Pod, error) {
	var found corev1.PodList
	if err := c.Client().List(ctx, &found, client.InNamespace(namespace), which); err != nil {
		return nil, fmt.Errorf("list the pods of %s: %w", namespace, err)
	}
	return slices.DeleteFunc(found.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil }), nil
}

// whole is an error unless every Deployment of a namespace has all of its pods, and these are ready and of its last version.
func whole(ctx context.Context, c *nodes.Cluster, namespace string) error {
	var found appsv1.DeploymentList
	if err := c.Client().List(ctx, &found, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("list the Deployments of %s: %w", namespace, err)
	}
	if len(found.Items) == 0 {
		return fmt.Errorf("there are no Deployments in %s of %s", namespace, c.Name())
	}
	var errs []error
	for _, d := range found.Items {
		pods, err := podsOf(ctx, c, namespace, d.Spec.Selector.MatchLabels)
		ready := 0
		for i := range pods {
			if readyPod(&pods[i]) {
				ready++
			}
		}
		want := int(*d.Spec.Replicas)
		status := d.Status
		if err == nil && (len(pods) != want || ready != want || int(status.UpdatedReplicas) != want || status.ObservedGeneration < d.Generation) {
			err = fmt.Errorf("%s/%s has %d of %d pods, %d of them ready, %d of the last version", c.Name(), d.Name, len(pods), want, ready, status.UpdatedReplicas)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func readyPod(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// one is a pod of ours: of the controller's, the one that leads.
func (w *world) one(t *testing.T, c *nodes.Cluster, component string) corev1.Pod {
	t.Helper()
	pods, err := podsOf(t.Context(), c, homeNamespace, client.MatchingLabels{componentLabel: component})
	if err != nil || len(pods) == 0 {
		t.Fatalf("no pod of the %s: %v", component, err)
	}
	if component != controller {
		return pods[0]
	}
	leader, err := leaderOf(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		if p.Name == leader {
			return p
		}
	}
	t.Fatalf("%s leads, and is no pod", leader)
	return corev1.Pod{}
}

// leaderOf is the name of the controller's pod that leads.
func leaderOf(ctx context.Context, c *nodes.Cluster) (string, error) {
	var lease coordinationv1.Lease
	if err := c.Client().Get(ctx, client.ObjectKey{Namespace: homeNamespace, Name: v1alpha3.ControllerLease}, &lease); err != nil {
		return "", fmt.Errorf("read the lease: %w", err)
	}
	if lease.Spec.HolderIdentity == nil {
		return "", errors.New("nobody leads")
	}
	name, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
	return name, nil
}

// ends of a pod. Each returns when there is a new one.
type end func(w *world, t *testing.T, c *nodes.Cluster, p corev1.Pod)

// gracefully is kubectl delete, as an eviction or a rolling upgrade does.
func gracefully(w *world, t *testing.T, c *nodes.Cluster, p corev1.Pod) {
	t.Helper()
	w.deletePod(t, c, p, "--wait=false")
}

// byForce leaves a pod two seconds, and tells all others that it is gone.
func byForce(w *world, t *testing.T, c *nodes.Cluster, p corev1.Pod) {
	t.Helper()
	w.deletePod(t, c, p, "--grace-period=0", "--force")
}

func (w *world) deletePod(t *testing.T, c *nodes.Cluster, p corev1.Pod, how ...string) {
	t.Helper()
	if _, err := c.Kubectl(t.Context(), slices.Concat([]string{"delete", "pod", "--namespace=" + p.Namespace, p.Name}, how)...); err != nil {
		t.Fatal(err)
	}
	w.until(t, "the pod "+p.Name+" is gone and replaced", func(ctx context.Context) error {
		var now corev1.Pod
		if err := c.Client().Get(ctx, client.ObjectKeyFromObject(&p), &now); !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("it is still there"), err)
		}
		return whole(ctx, c, p.Namespace)
	})
}

// bySignal kills the process, as a crash or too much memory would. It is started again where it was.
func bySignal(w *world, t *testing.T, c *nodes.Cluster, p corev1.Pod) {
	t.Helper()
	pid, err := processOf(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatalf("kill the process of %s: %v", p.Name, err)
	}
	w.until(t, "the process of "+p.Name+" is started again", func(ctx context.Context) error {
		var now corev1.Pod
		if err := c.Client().Get(ctx, client.ObjectKeyFromObject(&p), &now); err != nil {
			return fmt.Errorf("read the pod: %w", err)
		}
		if now.Status.ContainerStatuses[0].RestartCount == p.Status.ContainerStatuses[0].RestartCount {
			return errors.New("nobody has noticed its end")
		}
		return whole(ctx, c, p.Namespace)
	})
}

// processOf finds the process of a pod, by its group and its program.
func processOf(p corev1.Pod) (int, error) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	for _, folder := range folders {
		group, err := os.ReadFile(filepath.Join(folder, "cgroup"))
		if err != nil {
			continue // it has ended
		}
		line, err := os.ReadFile(filepath.Join(folder, "cmdline"))
		program, arguments, _ := bytes.Cut(line, []byte{0})
		if err == nil && bytes.Contains(group, []byte(p.UID)) && len(arguments) > 0 && string(program) != "/pause" {
			return strconv.Atoi(filepath.Base(folder))
		}
	}
	return 0, fmt.Errorf("no process of the pod %s was found", p.Name)
}

// controls waits until the controller of west makes a mirror of what is exported now, and takes it away again.
func (w *world) controls(t *testing.T) {
	t.Helper()
	late := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: manifests.Namespace, GenerateName: "late-", Labels: map[string]string{exportLabel: throughGateway}},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "emoji"}, Ports: []corev1.ServicePort{{Port: 8080}}},
	}
	if err := w.east().Client().Create(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	w.until(t, "what is exported now has a mirror", func(ctx context.Context) error {
		_, err := w.service(ctx, late.Name+"-east")
		return err
	})
	if err := w.east().Client().Delete(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	w.until(t, "what is gone has no mirror", func(ctx context.Context) error {
		_, err := w.service(ctx, late.Name+"-east")
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("it may still be there"), err)
	})
}
