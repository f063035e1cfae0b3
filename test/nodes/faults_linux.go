package nodes

import (
	"context"
	"errors"
	"time"
)

// Faults of a node. Each has a way back below it.

// Unplug pulls the node's cable: nobody hears from it, its pods go on.
func (n *Node) Unplug() error { return n.cluster.segment.Unplug(n.number) }

// Plug puts the cable back.
func (n *Node) Plug() error { return n.cluster.segment.Plug(n.number) }

// KillKubelet ends kubelet at once; pods go on.
func (n *Node) KillKubelet() error { return n.host.KillKubelet() }

// FreezeKubelet stops kubelet as it stands.
func (n *Node) FreezeKubelet() error { return n.host.FreezeKubelet() }

// ThawKubelet ends FreezeKubelet.
func (n *Node) ThawKubelet() error { return n.host.ThawKubelet() }

// KillContainerd ends containerd at once; containers go on.
func (n *Node) KillContainerd() error { return n.host.KillContainerd() }

// PowerOff ends everything on the node at once, containers too. The cable is pulled first: a dead machine neither takes leave
// of its connections nor refuses new ones.
func (n *Node) PowerOff() error { return errors.Join(n.Unplug(), n.host.Kill()) }

// Start puts the cable back, and starts what of containerd, kubelet and kube-proxy does not run. After PowerOff, kubelet
// makes new containers for the pods that the API server still has for this node.
func (n *Node) Start(ctx context.Context) error {
	return errors.Join(n.Plug(), n.host.StartContainerd(ctx), n.host.StartKubelet())
}

// Faults of a cluster, beside the control plane's: Stop, Kill and Start of rig.Cluster end and start the API server and the
// controllers; Freeze and Resume stop the API server as it stands.

// Cut separates the cluster, with its API server, from all others, until Mend: what is sent is dropped, without a word, on
// open connections too. The program itself still reaches both sides.
func (c *Cluster) Cut() error { return c.segment.Cut() }

// Mend ends Cut.
func (c *Cluster) Mend() error { return c.segment.Mend() }

// PowerOff ends everything in the cluster at once: nodes, containers, control plane, without a word to anybody. Its data stays.
func (c *Cluster) PowerOff() error {
	errs := []error{c.Cut()}
	for _, n := range c.nodes {
		errs = append(errs, n.PowerOff())
	}
	return errors.Join(append(errs, c.Kill(), c.killScheduler())...)
}

// PowerOn ends PowerOff, and returns when all nodes are ready again.
func (c *Cluster) PowerOn(ctx context.Context) error {
	since := time.Now()
	if err := c.Mend(); err != nil {
		return err
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	if err := c.startScheduler(); err != nil {
		return err
	}
	for _, n := range c.nodes {
		if err := n.Start(ctx); err != nil {
			return err
		}
	}
	return c.awaitNodes(ctx, since)
}

func (c *Cluster) killScheduler() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.scheduler == nil {
		return nil
	}
	return c.scheduler.Kill()
}
