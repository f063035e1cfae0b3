package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/linkspan/linkspan/test/rig/kubebin"
	"github.com/linkspan/linkspan/test/rig/process"
)

// kubernetesImages is the containerd namespace that kubelet's images and containers are in.
const kubernetesImages = "k8s.io"

// Node is what runs on one node.
type Node struct {
	options Options

	mu         sync.Mutex // held while processes come and go
	containerd *process.Process
	kubelet    *process.Process
	proxy      *process.Process
}

// New makes a node's folder and control group; nothing runs yet.
func New(options Options) (*Node, error) {
	if err := options.write(); err != nil {
		return nil, err
	}
	if err := MakeCgroup(options.Cgroup); err != nil {
		return nil, err
	}
	return &Node{options: options}, nil
}

// StartContainerd returns when containerd answers. Containers that run stay as they are.
func (n *Node) StartContainerd(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	err := n.start(&n.containerd, kubebin.Containerd, "--config", n.options.path("containerd.toml"))
	if err != nil {
		return err
	}
	return n.containerd.WaitReady(ctx, func(ctx context.Context) error {
		_, err := n.ctr(ctx, "version")
		return err
	})
}

// StartKubelet starts kubelet and kube-proxy, or what of them does not run. The API tells when they are ready.
func (n *Node) StartKubelet() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return errors.Join(
		n.start(&n.kubelet, kubebin.Kubelet, n.options.kubeletArgs()...),
		n.start(&n.proxy, kubebin.Proxy, "--config="+n.options.path("kube-proxy.yaml")),
	)
}

func (n *Node) start(into **process.Process, name string, args ...string) error {
	if *into != nil && (*into).Running() {
		return nil
	}
	return n.options.Namespace.Do(func() error {
		started, err := process.Start(n.options.Dir, name, n.options.program(name), args, n.options.commandPath())
		if err != nil {
			return fmt.Errorf("node %s: %w", n.options.Name, err)
		}
		*into = started
		return nil
	})
}

// Import takes images out of an archive. Pods find them by the names in it, without a registry.
func (n *Node) Import(ctx context.Context, archive string) error {
	_, err := n.ctr(ctx, "--namespace", kubernetesImages, "images", "import", "--local", archive)
	if err != nil {
		return fmt.Errorf("node %s: import %s: %w", n.options.Name, archive, err)
	}
	return nil
}

// Images are the names of those that are there.
func (n *Node) Images(ctx context.Context) ([]string, error) {
	said, err := n.ctr(ctx, "--namespace", kubernetesImages, "images", "list", "--quiet")
	return strings.Fields(said), err
}

func (n *Node) ctr(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, n.options.program(kubebin.Ctr), append([]string{"--address", n.options.socket()}, args...)...)
	said, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ctr: %w: %s", err, strings.TrimSpace(string(said)))
	}
	return string(said), nil
}

// KillKubelet ends kubelet at once; containers and the node's Services stay as they are.
func (n *Node) KillKubelet() error { return n.with(&n.kubelet, (*process.Process).Kill) }

// KillContainerd ends containerd at once; containers stay as they are.
func (n *Node) KillContainerd() error { return n.with(&n.containerd, (*process.Process).Kill) }

// FreezeKubelet stops kubelet as it stands, ThawKubelet ends that.
func (n *Node) FreezeKubelet() error { return n.with(&n.kubelet, (*process.Process).Freeze) }

// ThawKubelet ends FreezeKubelet.
func (n *Node) ThawKubelet() error {
	return n.with(&n.kubelet, func(p *process.Process) error { return p.Signal(syscall.SIGCONT) })
}

func (n *Node) with(which **process.Process, do func(*process.Process) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if *which == nil {
		return fmt.Errorf("node %s was never started", n.options.Name)
	}
	return do(*which)
}

// Ended tells which of the node's processes runs no more, with the end of its log.
func (n *Node) Ended() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.processes() {
		if err := p.Ended(); err != nil {
			return fmt.Errorf("node %s: %w", n.options.Name, err)
		}
	}
	return nil
}

// Tail is the end of kubelet's log, for error messages.
func (n *Node) Tail() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.kubelet == nil {
		return "kubelet was never started"
	}
	return n.kubelet.Tail()
}

// processes are those that were started.
func (n *Node) processes() []*process.Process {
	all := []*process.Process{n.kubelet, n.proxy, n.containerd}
	return slices.DeleteFunc(all, func(p *process.Process) bool { return p == nil })
}

// Kill ends everything on the node at once, containers too, as a power cut would.
func (n *Node) Kill() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, p := range n.processes() {
		errs = append(errs, p.Kill())
	}
	return errors.Join(append(errs, n.killShims(), killCgroup(n.options.Cgroup))...)
}

// killShims ends the processes that watch over containers. They outlive containerd by design, and only their arguments
// tell whose they are.
func (n *Node) killShims() error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	for _, entry := range entries {
		var pid int
		if _, err := fmt.Sscan(entry.Name(), &pid); err != nil {
			continue // not a process
		}
		arguments, err := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
		if err != nil || !strings.Contains(string(arguments), kubebin.Shim) || !strings.Contains(string(arguments), n.options.socket()) {
			continue // another's, or gone
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill a shim of node %s: %w", n.options.Name, err)
		}
	}
	return nil
}
