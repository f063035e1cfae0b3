//go:build linux

package nodes_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/nodes"
)

// Each fault does what it says to the pods that live through it, and has a way back.
func TestFaults(t *testing.T) {
	// A node that is silent is given up after 15 s instead of 50.
	soon := []string{"--node-monitor-grace-period=15s", "--node-monitor-period=1s"}
	fleet := start(t,
		nodes.ClusterOptions{Name: "west"},
		nodes.ClusterOptions{Name: "east", Nodes: 2, ControllerArgs: soon})
	west, east := fleet.Cluster("west"), fleet.Cluster("east")
	startProbe(t, west, "client", "")
	server := startProbe(t, east, "server", "east-2")
	pod := fmt.Sprintf("http://%s:%d", server.Status.PodIP, probePort)
	balancer := "http://" + balancerOf(t, east, "server")
	both := func(t *testing.T) {
		t.Helper()
		says(t, west, "the pod", "server\n", "get", pod)
		says(t, west, "the load balancer", "server\n", "get", balancer)
	}
	both(t)

	t.Run("a cluster is cut off", func(t *testing.T) {
		says(t, west, "the API server", "", "dial", east.Address())
		must(t, east.Cut())
		silent(t, west, "get", pod)
		silent(t, west, "get", balancer)
		silent(t, west, "dial", east.Address())
		if _, err := east.Exec(t.Context(), "default", "server", "", "/probe", "get", pod); err != nil {
			t.Errorf("inside the cluster, and from here, everything must work: %v", err)
		}
		must(t, east.Mend())
		says(t, west, "the API server", "", "dial", east.Address())
		both(t)
	})
	t.Run("a node's cable is pulled, and the load balancer's address moves", func(t *testing.T) {
		must(t, east.Node("east-1").Unplug())
		defer func() { must(t, east.Node("east-1").Plug()) }() // also when it fails; twice does no harm
		both(t)
		expectReady(t, east, "east-1", corev1.ConditionUnknown)
		must(t, east.Node("east-1").Plug())
		expectReady(t, east, "east-1", corev1.ConditionTrue)
	})
	t.Run("kubelet and containerd are killed, and pods go on", func(t *testing.T) {
		node := east.Node("east-2")
		must(t, node.KillKubelet())
		must(t, node.KillContainerd())
		says(t, west, "the pod", "server\n", "get", pod)
		back := time.Now()
		must(t, node.Start(t.Context()))
		expectHeardOf(t, east, "east-2", back)
		expectReady(t, east, "east-2", corev1.ConditionTrue)
		says(t, west, "the pod", "server\n", "get", pod)
	})
	t.Run("kubelet freezes", func(t *testing.T) {
		node := east.Node("east-2")
		must(t, node.FreezeKubelet())
		expectReady(t, east, "east-2", corev1.ConditionUnknown)
		says(t, west, "the pod", "server\n", "get", pod)
		must(t, node.ThawKubelet())
		both(t) // its pods were taken for lost
	})
	t.Run("the API server is killed, and pods go on", func(t *testing.T) {
		must(t, east.Kill())
		both(t)
		must(t, east.Start(t.Context()))
		both(t)
	})
	t.Run("a whole cluster loses power", func(t *testing.T) {
		must(t, east.PowerOff())
		silent(t, west, "get", balancer)
		silent(t, west, "dial", east.Address())
		off := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		must(t, east.PowerOn(ctx))
		for _, node := range east.Nodes() {
			if err := heardOf(t, east, node.Name(), off); err != nil {
				t.Errorf("the power is said to be on again: %v", err)
			}
		}
		says(t, west, "the load balancer", "server\n", "get", balancer) // the pod has another address now
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// silent wants no answer of any kind, until the client gives up. A refusal is an answer, and a client that is gone asks nobody.
func silent(t *testing.T, cluster *nodes.Cluster, args ...string) {
	t.Helper()
	failsWith(t, cluster, args, "i/o timeout", context.DeadlineExceeded.Error())
}

// failsWith runs the probe in the pod client, and wants one of these errors of it.
func failsWith(t *testing.T, cluster *nodes.Cluster, args []string, complaints ...string) {
	t.Helper()
	got, err := cluster.Exec(t.Context(), metav1.NamespaceDefault, "client", "", append([]string{"/probe"}, args...)...)
	if err == nil || !slices.ContainsFunc(complaints, func(c string) bool { return strings.Contains(err.Error(), c) }) {
		t.Errorf("%q gets %q, %v, want an error: %q", args, got, err, complaints)
	}
}

// expectReady waits for what the API says of a node.
func expectReady(t *testing.T, cluster *nodes.Cluster, name string, want corev1.ConditionStatus) {
	t.Helper()
	expect(t, "node "+name+" to be ready: "+string(want), func() error {
		var node corev1.Node
		if err := cluster.Client().Get(t.Context(), client.ObjectKey{Name: name}, &node); err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			switch {
			case condition.Type != corev1.NodeReady:
			case condition.Status != want:
				return fmt.Errorf("it is %s", condition.Status)
			default:
				return nil
			}
		}
		return errors.New("nobody says whether it is")
	})
}

// expectHeardOf waits for kubelet to say that it lives: what the API has of its node stays as it is for a while.
func expectHeardOf(t *testing.T, cluster *nodes.Cluster, name string, since time.Time) {
	t.Helper()
	expect(t, "kubelet of "+name+" to be heard of", func() error { return heardOf(t, cluster, name, since) })
}

func heardOf(t *testing.T, cluster *nodes.Cluster, name string, since time.Time) error {
	t.Helper()
	var lease coordinationv1.Lease
	if err := cluster.Client().Get(t.Context(), client.ObjectKey{Namespace: corev1.NamespaceNodeLease, Name: name}, &lease); err != nil {
		return err
	}
	if renewed := lease.Spec.RenewTime; renewed == nil || !renewed.After(since) {
		return fmt.Errorf("kubelet of %s was last heard of at %s, before %s", name, renewed, since)
	}
	return nil
}
