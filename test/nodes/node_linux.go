package nodes

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/test/nodes/host"
	"github.com/linkspan/linkspan/test/nodes/network"
	"github.com/linkspan/linkspan/test/rig"
)

// Node is one node of a cluster.
type Node struct {
	cluster   *Cluster
	number    int
	name      string
	namespace *network.Namespace
	host      *host.Node
	options   host.Options
}

func (c *Cluster) newNode(number int) (*Node, error) {
	n := &Node{cluster: c, number: number, name: fmt.Sprintf("%s-%d", c.options.Name, number)}
	dir, err := c.makeDir(n.name)
	if err != nil {
		return nil, err
	}
	if n.namespace, err = network.NewNamespace(n.name); err != nil {
		return nil, err
	}
	if err := c.segment.Join(n.namespace, number); err != nil {
		return nil, errors.Join(err, n.namespace.Close())
	}
	plan := c.segment.Plan
	n.options = host.Options{
		Name: n.name, Dir: dir, Programs: c.fleet.programs, Namespace: n.namespace,
		Address: plan.Node(number), Pods: plan.NodePods(number), AllPods: plan.Pods(), DNS: plan.DNS(),
		Cgroup:     filepath.Join(c.fleet.state.name, n.name),
		Kubeconfig: filepath.Join(dir, "kubelet.kubeconfig"), ProxyKubeconfig: filepath.Join(dir, "kube-proxy.kubeconfig"),
		Pause: pauseImage,
	}
	if n.host, err = host.New(n.options); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// Name is the Node's name.
func (n *Node) Name() string { return n.name }

// Address is the node's own.
func (n *Node) Address() netip.Addr { return n.cluster.segment.Node(n.number) }

// Dir has the node's logs: containerd.log, kubelet.log, kube-proxy.log, pod-logs.
func (n *Node) Dir() string { return n.options.Dir }

// prepare does what needs no API server.
func (n *Node) prepare(ctx context.Context, images []string) error {
	if err := n.host.StartContainerd(ctx); err != nil {
		return err
	}
	for _, archive := range images {
		if err := n.host.Import(ctx, archive); err != nil {
			return err
		}
	}
	return nil
}

// boot registers the node and starts kubelet. It is registered with its pods' addresses, so that its network can be set
// up before anybody gives it some.
func (n *Node) boot(ctx context.Context) error {
	pods := n.options.Pods.String()
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: map[string]string{corev1.LabelHostname: n.name}},
		Spec:       corev1.NodeSpec{PodCIDR: pods, PodCIDRs: []string{pods}},
	}
	if err := n.cluster.Client().Create(ctx, node); err != nil {
		return fmt.Errorf("register node %s: %w", n.name, err)
	}
	for path, user := range map[string]rig.User{
		n.options.Kubeconfig:      {Name: "system:node:" + n.name, Groups: []string{"system:nodes"}},
		n.options.ProxyKubeconfig: {Name: "system:kube-proxy"},
	} {
		data, err := n.cluster.Kubeconfig(user)
		if err != nil {
			return err
		}
		if err := writePrivate(path, data); err != nil {
			return err
		}
	}
	return n.host.StartKubelet()
}

func (n *Node) close() error {
	return errors.Join(n.cluster.segment.Leave(n.number), n.namespace.Close())
}
