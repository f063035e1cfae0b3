package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// EnvKeep names the environment variable that, when set, leaves the rig's folder in place, to read the logs.
const EnvKeep = "LINKSPAN_RIG_KEEP"

// Options say what to start.
type Options struct {
	// Clusters to start, at least one.
	Clusters []ClusterOptions
	// Version is the minor version, such as v1.34; kubebin.Minor() when empty.
	Version string
	// Dir is where the rig makes its folder, the system's folder for temporary files when empty.
	Dir string
	// Progress is told about builds, os.Stderr when nil.
	Progress io.Writer
}

// Rig is a set of clusters that were started together.
type Rig struct {
	dir      string
	keep     bool
	etcd     *etcd
	clusters []*Cluster
}

// Start starts clusters, all at once, and returns when every one is ready. The processes outlive
// ctx; Close ends them.
func Start(ctx context.Context, options Options) (*Rig, error) {
	if len(options.Clusters) == 0 {
		return nil, errors.New("Options.Clusters is empty: name at least one cluster")
	}
	programs, err := programs(ctx, options)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(options.Dir, "linkspan-rig-")
	if err != nil {
		return nil, fmt.Errorf("make the rig's folder: %w", err)
	}
	r := &Rig{dir: dir, keep: os.Getenv(EnvKeep) != ""}
	if err := r.start(ctx, programs, options.Clusters); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// programs finds the folder that Isolate found before it cut us off from the network, or a new one.
func programs(ctx context.Context, options Options) (string, error) {
	if dir := os.Getenv(envPrograms); dir != "" && options.Version == "" {
		return dir, nil
	}
	progress := options.Progress
	if progress == nil {
		progress = os.Stderr
	}
	return kubebin.Ensure(ctx, options.Version, progress)
}

func (r *Rig) start(ctx context.Context, programs string, wanted []ClusterOptions) error {
	scheme, err := Scheme()
	if err != nil {
		return err
	}
	for i, options := range wanted {
		c, err := r.newCluster(programs, i+1, options)
		if err != nil {
			return err
		}
		c.scheme = scheme
		r.clusters = append(r.clusters, c)
	}
	if r.etcd != nil {
		if err := r.etcd.start(ctx); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range r.clusters {
		group.Go(func() error { return c.boot(ctx) })
	}
	return group.Wait()
}

func (r *Rig) newCluster(programs string, index int, options ClusterOptions) (*Cluster, error) {
	if options.Name == "" {
		options.Name = fmt.Sprintf("c%d", index)
	}
	if len(options.ServiceCIDRs) == 0 {
		options.ServiceCIDRs = []string{DefaultServiceCIDR}
	}
	c := &Cluster{
		name:       options.Name,
		options:    options,
		dir:        filepath.Join(r.dir, options.Name),
		programs:   programs,
		address:    ClusterAddress(index),
		etcdPrefix: "/" + options.Name,
		ownsEtcd:   options.OwnEtcd,
		tokenUsers: options.Users,
	}
	if err := mustBeLocal(c.address); err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	c.port = ports[0]
	if c.ca, err = newAuthority(c.name); err != nil {
		return nil, err
	}
	if c.etcd, err = r.etcdFor(programs, options); err != nil {
		return nil, err
	}
	return c, nil
}

// ClusterAddress is the address of the API server of a cluster, from 1, in the order of Options.Clusters.
func ClusterAddress(index int) string { return fmt.Sprintf("%s%d", clusterNetwork, index) }

// etcdFor is the cluster's own etcd, or the one that the others share.
func (r *Rig) etcdFor(programs string, options ClusterOptions) (*etcd, error) {
	if options.OwnEtcd {
		return newEtcd(programs, filepath.Join(r.dir, options.Name+"-etcd"))
	}
	if r.etcd == nil {
		shared, err := newEtcd(programs, filepath.Join(r.dir, "etcd"))
		if err != nil {
			return nil, err
		}
		r.etcd = shared
	}
	return r.etcd, nil
}

// boot starts a cluster for the first time.
func (c *Cluster) boot(ctx context.Context) error {
	if err := c.prepare(); err != nil {
		return err
	}
	if c.ownsEtcd {
		if err := c.etcd.start(ctx); err != nil {
			return err
		}
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	admin, err := c.ClientFor(c.Admin())
	if err != nil {
		return err
	}
	c.admin = admin
	if err := c.installDefaults(ctx); err != nil {
		return err
	}
	return c.discover()
}

// discover asks for the kinds that the rig uses, so that later calls of its clients are single requests.
func (c *Cluster) discover() error {
	kinds := []schema.GroupKind{
		{Kind: "Service"}, {Kind: "Namespace"},
		{Group: discoveryv1.GroupName, Kind: "EndpointSlice"},
		{Group: authenticationv1.GroupName, Kind: "SelfSubjectReview"},
	}
	if !c.options.SkipCRDs {
		kinds = append(kinds, v1alpha3.GroupVersion.WithKind("Link").GroupKind())
	}
	for _, kind := range kinds {
		if _, err := c.admin.RESTMapper().RESTMapping(kind); err != nil {
			return fmt.Errorf("cluster %s: look up %s: %w", c.name, kind, err)
		}
	}
	return nil
}

// Clusters are in the order of Options.Clusters.
func (r *Rig) Clusters() []*Cluster { return r.clusters }

// Cluster finds a cluster by name, nil when there is none.
func (r *Rig) Cluster(name string) *Cluster {
	for _, c := range r.clusters {
		if c.name == name {
			return c
		}
	}
	return nil
}

// Close ends every process and removes the rig's folder.
func (r *Rig) Close() error {
	errs := make([]error, 0, len(r.clusters)+1)
	for _, c := range r.clusters {
		errs = append(errs, c.close())
	}
	if r.etcd != nil {
		errs = append(errs, r.etcd.stop())
	}
	if !r.keep {
		errs = append(errs, os.RemoveAll(r.dir))
	}
	return errors.Join(errs...)
}

// Scheme knows the built-in kinds and Link.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha3.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("build the scheme: %w", err)
	}
	return scheme, nil
}

// mustBeLocal says what to do when the rig is used outside its network namespace.
func mustBeLocal(address string) error {
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return fmt.Errorf("address %s is not local here: call rig.Main in TestMain, or rig.Isolate in main: %w", address, err)
	}
	return listener.Close()
}
