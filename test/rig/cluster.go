package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/rig/process"
)

// DefaultServiceCIDR is the service range of clusters that choose none.
const DefaultServiceCIDR = "10.96.0.0/16"

// ClusterOptions say how a cluster differs from the usual one.
type ClusterOptions struct {
	// Name is a DNS label, c1, c2, … when empty.
	Name string
	// ServiceCIDRs are one range, or two of different families for dual stack.
	ServiceCIDRs []string
	// OwnEtcd gives the cluster an etcd of its own, which WipeData needs.
	OwnEtcd bool
	// Controllers of kube-controller-manager to run; none means that it is not started.
	Controllers []string
	// ControllerArgs are added to kube-controller-manager's command line, where later ones win.
	ControllerArgs []string
	// Users are known by their tokens from the start.
	Users []User
	// APIServerArgs are added to the command line, where later ones win.
	APIServerArgs []string
	// SkipCRDs leaves out the CustomResourceDefinitions of api/v1alpha3/crd.
	SkipCRDs bool
}

// Cluster is one control plane.
type Cluster struct {
	name       string
	options    ClusterOptions
	dir        string
	programs   string
	address    string
	port       int
	etcd       *etcd
	ownsEtcd   bool
	etcdPrefix string
	ca         *authority
	scheme     *runtime.Scheme
	admin      client.WithWatch

	mu          sync.Mutex // held while processes come and go
	apiserver   *process.Process
	controllers *process.Process
	tokenUsers  []User
}

// Name is the cluster's name.
func (c *Cluster) Name() string { return c.name }

// URL reaches the API server on an address that is not loopback.
func (c *Cluster) URL() string {
	return "https://" + net.JoinHostPort(c.address, strconv.Itoa(c.port))
}

// LoopbackURL reaches the same API server on 127.0.0.1.
func (c *Cluster) LoopbackURL() string {
	return "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port))
}

// Address is host and port of URL, for proxies.
func (c *Cluster) Address() string {
	return net.JoinHostPort(c.address, strconv.Itoa(c.port))
}

// IP is the address that is this cluster's own.
func (c *Cluster) IP() string { return c.address }

// CA is the certificate authority in PEM.
func (c *Cluster) CA() []byte { return slices.Clone(c.ca.pem) }

// Client is the administrator's client. It knows the built-in kinds and Link.
func (c *Cluster) Client() client.WithWatch { return c.admin }

// Dir is the cluster's folder, with its logs.
func (c *Cluster) Dir() string { return c.dir }

// PID is the API server's process id, 0 when it is stopped, for measuring it.
func (c *Cluster) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.apiserver == nil || !c.apiserver.Running() {
		return 0
	}
	return c.apiserver.PID()
}

// Start starts the API server again, and the controllers if it had any: same port, same data.
func (c *Cluster) Start(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.start(ctx)
}

func (c *Cluster) start(ctx context.Context) error {
	if c.apiserver != nil && c.apiserver.Running() {
		return fmt.Errorf("cluster %s is running already", c.name)
	}
	if err := c.startAPIServer(ctx); err != nil {
		return fmt.Errorf("cluster %s: %w", c.name, err)
	}
	if len(c.options.Controllers) == 0 {
		return nil
	}
	return c.startControllers(ctx)
}

// Stop ends the API server and the controllers in order. The data stays.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stop()
}

func (c *Cluster) stop() error {
	var errs []error
	for _, p := range []*process.Process{c.controllers, c.apiserver} {
		if p != nil {
			errs = append(errs, p.Stop())
		}
	}
	return errors.Join(errs...)
}

// Kill ends the API server and the controllers at once, as a power cut would.
func (c *Cluster) Kill() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kill()
}

func (c *Cluster) kill() error {
	var errs []error
	for _, p := range []*process.Process{c.controllers, c.apiserver} {
		if p != nil {
			errs = append(errs, p.Kill())
		}
	}
	return errors.Join(errs...)
}

// Freeze stops the API server as it stands: connections stay open and new ones are accepted, nothing
// is answered. It returns when the last thread has stopped.
func (c *Cluster) Freeze() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.apiserver == nil {
		return fmt.Errorf("cluster %s was never started", c.name)
	}
	return c.apiserver.Freeze()
}

// Resume ends Freeze.
func (c *Cluster) Resume() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.apiserver == nil {
		return fmt.Errorf("cluster %s was never started", c.name)
	}
	return c.apiserver.Signal(syscall.SIGCONT)
}

// WipeData swaps the cluster's etcd for an empty one: same URL, same certificates, but no object is
// left and the system namespaces have new UIDs. It needs ClusterOptions.OwnEtcd. The CRDs are
// installed again.
func (c *Cluster) WipeData(ctx context.Context) error {
	if !c.ownsEtcd {
		return fmt.Errorf("cluster %s shares its etcd: start it with OwnEtcd to wipe its data", c.name)
	}
	if err := c.restart(ctx, func() error { return c.etcd.wipe(ctx) }); err != nil {
		return err
	}
	return c.installDefaults(ctx)
}

// restart ends the cluster, does something while it is down, and starts it again.
func (c *Cluster) restart(ctx context.Context, between func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.kill(); err != nil {
		return err
	}
	if err := between(); err != nil {
		return err
	}
	return c.start(ctx)
}

// close ends everything that belongs to this cluster alone.
func (c *Cluster) close() error {
	err := c.Kill()
	if c.ownsEtcd {
		err = errors.Join(err, c.etcd.stop())
	}
	return err
}

func (c *Cluster) installDefaults(ctx context.Context) error {
	if c.options.SkipCRDs {
		return nil
	}
	return c.InstallCRDs(ctx)
}

// adminFile is the administrator's kubeconfig, for programs that want a file.
func (c *Cluster) adminFile() (string, error) {
	path := filepath.Join(c.dir, fileAdmin)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	data, err := c.Kubeconfig(c.Admin(), Server(c.LoopbackURL()))
	if err != nil {
		return "", err
	}
	return path, writeFiles(c.dir, map[string][]byte{fileAdmin: data})
}

// Programs is the folder of the programs that the cluster runs, with kubectl.
func (c *Cluster) Programs() string { return c.programs }
