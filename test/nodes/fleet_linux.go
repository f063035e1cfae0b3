package nodes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/linkspan/linkspan/test/nodes/network"
	"github.com/linkspan/linkspan/test/rig"
)

// Options say what to start.
type Options struct {
	// Clusters to start, at least one.
	Clusters []ClusterOptions
	// Images are OCI archives, as hack/images and Archive write them, that every node has.
	Images []string
	// Progress is told what happens and when, os.Stderr when nil.
	Progress io.Writer
}

// ClusterOptions say what a cluster is.
type ClusterOptions struct {
	// Name is a DNS label; nodes are called west-1, west-2, … after it.
	Name string
	// Nodes is how many there are, 1 when zero.
	Nodes int
	// APIServerArgs and ControllerArgs are added to the command lines, where later ones win.
	APIServerArgs, ControllerArgs []string
}

// Fleet is a set of clusters that were started together.
type Fleet struct {
	state    *state
	programs string
	rig      *rig.Rig
	clusters []*Cluster
	progress progress
}

// startPatience bounds a start, which takes a minute or two on two busy cores.
const startPatience = 5 * time.Minute

// progress tells lines with the seconds since the start.
type progress struct {
	to    io.Writer
	start time.Time
}

func (p progress) say(format string, args ...any) {
	fmt.Fprintf(p.to, "nodes: %5.1fs %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
}

// Start starts clusters, all at once, and returns when all nodes are ready and names resolve, or when that takes unreasonably
// long. What runs outlives ctx; Close ends it. The program must be isolated: see Isolate and Main.
func Start(ctx context.Context, options Options) (*Fleet, error) {
	programs := os.Getenv(envPrograms)
	if programs == "" {
		return nil, errors.New("nodes would change this machine: call nodes.Main in TestMain, or nodes.Isolate in main")
	}
	s, err := newState()
	if err != nil {
		return nil, err
	}
	f := &Fleet{state: s, programs: programs, progress: progress{to: options.Progress, start: time.Now()}}
	if f.progress.to == nil {
		f.progress.to = os.Stderr
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := f.start(ctx, options); err != nil {
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, s.whereLogsAre()), f.Close())
	}
	return f, nil
}

func (f *Fleet) start(ctx context.Context, options Options) error {
	controlPlanes := make([]rig.ClusterOptions, len(options.Clusters))
	for i, wanted := range options.Clusters {
		c, err := f.newCluster(i+1, wanted)
		if err != nil {
			return fmt.Errorf("cluster %s: %w", wanted.Name, err)
		}
		controlPlanes[i] = c.controlPlane(wanted)
	}
	images, err := f.ownImages(ctx)
	if err != nil {
		return err
	}
	images = append(images, options.Images...)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.startControlPlanes(groupCtx, controlPlanes) })
	for _, c := range f.clusters {
		for _, n := range c.nodes {
			group.Go(func() error { return n.prepare(groupCtx, images) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	f.progress.say("control planes are up, nodes have their images")
	group, groupCtx = errgroup.WithContext(ctx)
	for _, c := range f.clusters {
		group.Go(func() error {
			if err := c.boot(groupCtx); err != nil {
				return fmt.Errorf("cluster %s: %w", c.options.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (f *Fleet) startControlPlanes(ctx context.Context, wanted []rig.ClusterOptions) error {
	r, err := rig.Start(ctx, rig.Options{Clusters: wanted, Dir: f.state.dir, Progress: f.progress.to})
	if err != nil {
		return err
	}
	f.rig = r
	for i, c := range f.clusters {
		c.Cluster = r.Clusters()[i]
	}
	return nil
}

// newCluster makes a cluster's network and its nodes. The fleet has it as soon as there is anything of it, so that Close
// takes away what was made before a failure.
func (f *Fleet) newCluster(index int, options ClusterOptions) (*Cluster, error) {
	if options.Nodes == 0 {
		options.Nodes = 1
	}
	if err := (network.Plan{Index: index}).Check(options.Nodes); err != nil {
		return nil, err
	}
	segment, err := network.NewSegment(index, rig.ClusterAddress(index))
	if err != nil {
		return nil, err
	}
	c := &Cluster{fleet: f, options: options, dir: filepath.Join(f.state.dir, options.Name+"-nodes"), segment: segment}
	f.clusters = append(f.clusters, c)
	for number := 1; number <= options.Nodes; number++ {
		n, err := c.newNode(number)
		if err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, n)
	}
	return c, nil
}

// Clusters are in the order of Options.Clusters.
func (f *Fleet) Clusters() []*Cluster { return f.clusters }

// Cluster finds a cluster by name, nil when there is none.
func (f *Fleet) Cluster(name string) *Cluster {
	for _, c := range f.clusters {
		if c.options.Name == name {
			return c
		}
	}
	return nil
}

// Dir is the folder with all logs and files of the fleet.
func (f *Fleet) Dir() string { return f.state.dir }

// Import gives an image to every node, from an OCI archive.
func (f *Fleet) Import(ctx context.Context, archive string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range f.clusters {
		for _, n := range c.nodes {
			group.Go(func() error { return n.host.Import(ctx, archive) })
		}
	}
	return group.Wait()
}

// Close ends every process and container, and removes all that they left.
func (f *Fleet) Close() error {
	var errs []error
	for _, c := range f.clusters {
		errs = append(errs, c.close())
	}
	if f.rig != nil {
		errs = append(errs, f.rig.Close())
	}
	for _, c := range f.clusters {
		for _, n := range c.nodes {
			errs = append(errs, n.close())
		}
		errs = append(errs, c.segment.Close())
	}
	errs = append(errs, unmountBelow(f.state.dir), f.state.close())
	f.progress.say("everything has ended")
	return errors.Join(errs...)
}
