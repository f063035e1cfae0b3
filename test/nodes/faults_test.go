//go:build linux

package nodes_test

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
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
		must(t, east.Cut())
		silent(t, west, pod)
		silent(t, west, balancer)
		silent(t, west, east.URL())
		if _, err := east.Exec(t.Context(), "default", "server", "", "/probe", "get", pod); err != nil {
			t.Errorf("inside the cluster, and from here, everything must work: %v", err)
		}
		must(t, east.Mend())
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
		must(t, node.Start(t.Context()))
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
		silent(t, west, balancer)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		must(t, east.PowerOn(ctx))
		says(t, west, "the load balancer", "server\n", "get", balancer) // the pod has another address now
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// silent wants no answer of any kind.
func silent(t *testing.T, cluster *nodes.Cluster, url string) {
	t.Helper()
	if got, err := cluster.Exec(t.Context(), "default", "client", "", "/probe", "get", url); err == nil {
		t.Errorf("%s answers %q", url, got)
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
			if condition.Type == corev1.NodeReady && condition.Status != want {
				return fmt.Errorf("it is %s", condition.Status)
			}
		}
		return nil
	})
}
