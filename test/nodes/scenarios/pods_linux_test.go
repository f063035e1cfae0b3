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
	"time"

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

// one is a pod of ours, as soon as there is one: of the controller's, the one that leads.
func (w *world) one(t *testing.T, c *nodes.Cluster, component string) (found corev1.Pod) {
	t.Helper()
	w.until(t, "there is a pod of the "+component, func(ctx context.Context) (err error) {
		found, err = oneOf(ctx, c, component)
		return err
	})
	return found
}

// oneOf is an error while there is none, or while nobody leads.
func oneOf(ctx context.Context, c *nodes.Cluster, component string) (corev1.Pod, error) {
	pods, err := podsOf(ctx, c, homeNamespace, client.MatchingLabels{componentLabel: component})
	if err != nil {
		return corev1.Pod{}, err
	}
	if len(pods) == 0 {
		return corev1.Pod{}, fmt.Errorf("there is no pod of the %s", component)
	}
	if component != controller {
		return pods[0], nil
	}
	leader, err := leaderOf(ctx, c)
	if err != nil {
		return corev1.Pod{}, err
	}
	name, _, _ := strings.Cut(leader, "_")
	for _, p := range pods {
		if p.Name == name {
			return p, nil
		}
	}
	return corev1.Pod{}, fmt.Errorf("%s leads, and is no pod", name)
}

// leaderOf is who leads of the controller's processes: its pod's name, and after _ what no other process of that pod has.
func leaderOf(ctx context.Context, c *nodes.Cluster) (string, error) {
	var lease coordinationv1.Lease
	if err := c.Client().Get(ctx, client.ObjectKey{Namespace: homeNamespace, Name: v1alpha3.ControllerLease}, &lease); err != nil {
		return "", fmt.Errorf("read the lease: %w", err)
	}
	if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		return "", errors.New("nobody leads")
	}
	return *lease.Spec.HolderIdentity, nil
}

// end of a pod: kill does it and returns, replaced waits until there is a new one.
type end struct {
	kill, replaced func(w *world, t *testing.T, c *nodes.Cluster, p corev1.Pod)
}

// gracefully is kubectl delete, as an eviction or a rolling upgrade does.
func gracefully() end { return deletion("--wait=false") }

// byForce leaves a pod two seconds, and tells all others that it is gone.
func byForce() end { return deletion("--grace-period=0", "--force") }

// bySignal kills the process, as a crash or too much memory would. It is started again where it was.
func bySignal() end { return end{kill: killProcess, replaced: (*world).untilStartedAgain} }

func deletion(how ...string) end {
	return end{replaced: (*world).untilReplaced, kill: func(_ *world, t *testing.T, c *nodes.Cluster, p corev1.Pod) {
		t.Helper()
		args := slices.Concat([]string{"delete", "pod", "--namespace=" + p.Namespace, p.Name}, how)
		if _, err := c.Kubectl(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}}
}

func (w *world) untilReplaced(t *testing.T, c *nodes.Cluster, p corev1.Pod) {
	t.Helper()
	w.until(t, "the pod "+p.Name+" is gone and replaced", func(ctx context.Context) error {
		var now corev1.Pod
		if err := c.Client().Get(ctx, client.ObjectKeyFromObject(&p), &now); !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("it is still there"), err)
		}
		return whole(ctx, c, p.Namespace)
	})
}

func killProcess(_ *world, t *testing.T, _ *nodes.Cluster, p corev1.Pod) {
	t.Helper()
	if err := signalTo(p, unix.SIGKILL, ""); err != nil {
		t.Fatal(err)
	}
}

func (w *world) untilStartedAgain(t *testing.T, c *nodes.Cluster, p corev1.Pod) {
	t.Helper()
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

// signalTo sends a signal to the process of a pod that has an argument; to the only one when that is empty.
func signalTo(p corev1.Pod, signal unix.Signal, argument string) error {
	pid, err := processOf(p, argument)
	if err != nil {
		return err
	}
	if err := unix.Kill(pid, signal); err != nil {
		return fmt.Errorf("send %s to the process of %s: %w", signal, p.Name, err)
	}
	return nil
}

// processOf finds a process of a pod, by its group, its program and an argument.
func processOf(p corev1.Pod, argument string) (int, error) {
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
		if err == nil && bytes.Contains(group, []byte(p.UID)) && bytes.Contains(arguments, []byte(argument)) && len(arguments) > 0 && string(program) != "/pause" {
			return strconv.Atoi(filepath.Base(folder))
		}
	}
	return 0, fmt.Errorf("no process of the pod %s was found that has the argument %q", p.Name, argument)
}

// controls waits until the controller of west makes a mirror of what is exported now, and takes it away again. It says when the
// mirror was there.
func (w *world) controls(t *testing.T) (mirrored time.Time) {
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
	mirrored = time.Now()
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
	return mirrored
}

// nextActs waits until another process than the one before leads west's controllers, and acts. It says when that was.
func (w *world) nextActs(t *testing.T, before string) time.Time {
	t.Helper()
	w.until(t, "the next one leads", func(ctx context.Context) error {
		leader, err := leaderOf(ctx, w.west())
		if err == nil && leader == before {
			err = fmt.Errorf("%s does, as before", leader)
		}
		return err
	})
	return w.controls(t)
}
