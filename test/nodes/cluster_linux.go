package nodes

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/nodes/network"
	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rig/kubebin"
	"github.com/linkspan/linkspan/test/rig/process"
)

// Cluster is a control plane, which is all that rig.Cluster is, with nodes.
type Cluster struct {
	*rig.Cluster

	fleet    *Fleet
	options  ClusterOptions
	dir      string
	segment  *network.Segment
	nodes    []*Node
	balancer *balancer

	mu        sync.Mutex // held while the scheduler comes and goes
	scheduler *process.Process
}

// controlPlane is what the rig has to start.
func (c *Cluster) controlPlane(options ClusterOptions) rig.ClusterOptions {
	plan := c.segment.Plan
	return rig.ClusterOptions{
		Name:         options.Name,
		ServiceCIDRs: []string{plan.Services().String()},
		OwnEtcd:      true,
		SkipCRDs:     true, // a chart brings them
		Controllers:  []string{"*"},
		ControllerArgs: append([]string{
			"--allocate-node-cidrs", "--cluster-cidr=" + plan.Pods().String(), "--node-cidr-mask-size=24",
			// It makes this folder, whose default is outside of ours.
			"--flex-volume-plugin-dir=" + filepath.Join(c.dir, "volume-plugins"),
		}, options.ControllerArgs...),
		APIServerArgs: append([]string{
			"--enable-admission-plugins=NodeRestriction", "--kubelet-preferred-address-types=InternalIP",
		}, options.APIServerArgs...),
	}
}

// boot turns a control plane into a cluster.
func (c *Cluster) boot(ctx context.Context) error {
	if err := c.startScheduler(); err != nil {
		return err
	}
	if err := c.publishAPIServer(ctx); err != nil {
		return err
	}
	for _, n := range c.nodes {
		if err := n.boot(ctx); err != nil {
			return err
		}
	}
	if err := c.installDNS(ctx); err != nil {
		return err
	}
	var err error
	if c.balancer, err = startBalancer(c); err != nil {
		return err
	}
	if err := c.awaitNodes(ctx, time.Time{}); err != nil {
		return err
	}
	c.fleet.progress.say("cluster %s: nodes are ready", c.Name())
	if err := c.awaitDNS(ctx); err != nil {
		return err
	}
	c.fleet.progress.say("cluster %s: names resolve", c.Name())
	return nil
}

func (c *Cluster) startScheduler() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.scheduler != nil && c.scheduler.Running() {
		return nil
	}
	kubeconfig, err := c.KubeconfigFile(rig.User{Name: "system:kube-scheduler"})
	if err != nil {
		return err
	}
	c.scheduler, err = process.Start(c.Dir(), kubebin.Scheduler, filepath.Join(c.fleet.programs, kubebin.Scheduler), []string{
		"--kubeconfig=" + kubeconfig, "--leader-elect=false", "--secure-port=0",
	})
	return err
}

// publishAPIServer gives the Service kubernetes its endpoint, as the API server itself would if the rig let it.
func (c *Cluster) publishAPIServer(ctx context.Context) error {
	address, err := netip.ParseAddrPort(c.Address())
	if err != nil {
		return fmt.Errorf("read the API server's address: %w", err)
	}
	name, port, protocol, ready := "https", int32(address.Port()), corev1.ProtocolTCP, true
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: "kubernetes",
			Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes", discoveryv1.LabelManagedBy: "linkspan-rig"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{address.Addr().String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol}},
	}
	if err := c.Client().Create(ctx, slice); err != nil {
		return fmt.Errorf("publish the API server in the cluster: %w", err)
	}
	return nil
}

// awaitNodes returns when every node is ready, and its kubelet has said since then that it lives: what the API has of
// nodes outlives them.
func (c *Cluster) awaitNodes(ctx context.Context, since time.Time) error {
	return c.await(ctx, func(ctx context.Context) error {
		for _, n := range c.nodes {
			var node corev1.Node
			if err := c.get(ctx, "", n.name, &node); err != nil {
				return fmt.Errorf("look at node %s: %w", n.name, err)
			}
			if !isReady(&node) {
				return fmt.Errorf("node %s is not ready", n.name)
			}
			if err := n.renewed(ctx, since); err != nil {
				return err
			}
		}
		return nil
	})
}

// renewed says whether kubelet has renewed its lease since then.
func (n *Node) renewed(ctx context.Context, since time.Time) error {
	if since.IsZero() {
		return nil
	}
	var lease coordinationv1.Lease
	if err := n.cluster.get(ctx, corev1.NamespaceNodeLease, n.name, &lease); err != nil {
		return fmt.Errorf("look at the lease of node %s: %w", n.name, err)
	}
	if renewed := lease.Spec.RenewTime; renewed == nil || !renewed.After(since) {
		return fmt.Errorf("kubelet of node %s has not been heard of since it was started", n.name)
	}
	return nil
}

// await asks until it hears no error, or until a process has ended without which that can never be.
func (c *Cluster) await(ctx context.Context, ask func(context.Context) error) error {
	var ended error
	err := Await(ctx, func(ctx context.Context) error {
		if ended = c.ended(); ended != nil {
			return nil
		}
		return ask(ctx)
	})
	switch {
	case ended != nil:
		return ended
	case errors.Is(err, context.DeadlineExceeded):
		for _, n := range c.nodes {
			err = fmt.Errorf("%w\nnode %s: %s", err, n.name, n.host.Tail())
		}
	}
	return err
}

// ended tells which process beside the control plane's runs no more.
func (c *Cluster) ended() error {
	for _, n := range c.nodes {
		if err := n.host.Ended(); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.scheduler.Ended()
}

// isReady says whether a node says so, and nobody else says that it does not answer.
func isReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Nodes are in the order of their numbers.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Plan has the cluster's addresses.
func (c *Cluster) Plan() network.Plan { return c.segment.Plan }

// Node finds a node by name, nil when there is none.
func (c *Cluster) Node(name string) *Node {
	for _, n := range c.nodes {
		if n.Name() == name {
			return n
		}
	}
	return nil
}

// close ends what belongs to the cluster, but the control plane.
func (c *Cluster) close() error {
	var errs []error
	if c.balancer != nil {
		c.balancer.close()
	}
	for _, n := range c.nodes {
		errs = append(errs, n.host.Kill())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.scheduler != nil {
		errs = append(errs, c.scheduler.Kill())
	}
	return errors.Join(errs...)
}

// get is a shorthand of the administrator's client.
func (c *Cluster) get(ctx context.Context, namespace, name string, into client.Object) error {
	return c.Client().Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, into)
}

// makeDir makes a folder below the cluster's.
func (c *Cluster) makeDir(name string) (string, error) {
	dir := filepath.Join(c.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the folder of %s: %w", name, err)
	}
	return dir, nil
}
