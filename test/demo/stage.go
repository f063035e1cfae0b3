package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/linkspan/linkspan/test/certs"
	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// Names in the story.
const (
	nameWest = "west"
	nameEast = "east"
	// linksNamespace is where links and what belongs to them live, in both clusters.
	linksNamespace = "linkerd-multicluster"
	// shop is the namespace of the services that are mirrored.
	shop = "shop"
)

// Service ranges differ, so that a ClusterIP tells its cluster. East's is local in the namespace (see
// test/rig), so that something can listen at its ClusterIPs; its upper half has no API server in it.
const (
	westServices = "10.10.0.0/16"
	eastServices = "198.51.100.128/25"
)

// adminAddress is where the controller serves metrics, inside the namespace.
const adminAddress = "127.0.0.1:9999"

// Which of the listeners leads where.
const (
	listenWest = iota
	listenEast
	listenAdmin
	// listenWeb leads where clients of web's mirror are led.
	listenWeb
	listeners
)

// hostListeners are what Isolate opens for people outside the namespace.
func hostListeners() []string { return slices.Repeat([]string{"127.0.0.1:0"}, listeners) }

type stageOptions struct {
	// mirror and gateway are the absolute paths of the programs.
	mirror, gateway string
	// listeners are open to people outside the namespace, see hostListeners.
	listeners []net.Listener
	// exit ends the story after its last step.
	exit bool
}

// stage is what the story plays on.
type stage struct {
	options stageOptions
	tell    *teller
	shell   *shell
	dir     string
	// lost ends the story when a process that it needs has ended.
	lost context.CancelCauseFunc
	// cleanup runs in reverse order.
	cleanup []func() error

	west, east *rig.Cluster
	// controller, ingress and egress are nil until they are started.
	controller, ingress, egress *background
	anchor                      *certs.Authority
	// web and cart are the mirrors as they were last seen.
	web, cart *mirror
}

func newStage(tell *teller, options stageOptions, lost context.CancelCauseFunc) (*stage, error) {
	dir, err := os.MkdirTemp("", "linkspan-demo-")
	if err != nil {
		return nil, fmt.Errorf("make the demo's folder: %w", err)
	}
	s := &stage{options: options, tell: tell, dir: dir, lost: lost}
	if os.Getenv(rig.EnvKeep) == "" {
		s.atEnd(func() error { return os.RemoveAll(dir) })
	}
	return s, nil
}

func (s *stage) atEnd(clean func() error) { s.cleanup = append(s.cleanup, clean) }

// close ends everything that was started.
func (s *stage) close() error {
	var errs []error
	for _, clean := range slices.Backward(s.cleanup) {
		errs = append(errs, clean())
	}
	return errors.Join(errs...)
}

// open starts the clusters and opens them to the host.
func (s *stage) open(ctx context.Context) error {
	programs, err := kubebin.Ensure(ctx, "", os.Stderr)
	if err != nil {
		return err
	}
	started, err := rig.Start(ctx, rig.Options{Clusters: []rig.ClusterOptions{
		{Name: nameWest, ServiceCIDRs: []string{westServices}, Controllers: []string{
			rig.NamespaceController, rig.GarbageCollector,
		}},
		{Name: nameEast, ServiceCIDRs: []string{eastServices}, SkipCRDs: true, Controllers: []string{
			rig.NamespaceController, rig.GarbageCollector, rig.EndpointSliceController, rig.ServiceAccountTokens,
		}},
	}})
	if err != nil {
		return err
	}
	s.atEnd(started.Close)
	s.west, s.east = started.Cluster(nameWest), started.Cluster(nameEast)
	s.atEnd(s.stopProcesses)
	inside := make([]string, 0, 2)
	for _, c := range started.Clusters() {
		path := filepath.Join(s.dir, "inside-"+kubeconfigName(c))
		if err := writeKubeconfig(c, path); err != nil {
			return err
		}
		inside = append(inside, path)
	}
	s.shell = newShell(s.tell, s.dir, map[string]string{
		programMirror: s.options.mirror, programGateway: s.options.gateway,
		programKubectl: filepath.Join(programs, kubebin.Kubectl),
	}, inside...)
	return s.openToHost()
}

// processes are those that were started and not ended by the story.
func (s *stage) processes() []*background {
	return slices.DeleteFunc([]*background{s.controller, s.egress, s.ingress}, func(b *background) bool { return b == nil })
}

// stopProcesses ends them at the same time: a gateway goes on for a while.
func (s *stage) stopProcesses() error {
	processes := s.processes()
	errs := make([]error, len(processes))
	var ending sync.WaitGroup
	for i, b := range processes {
		ending.Go(func() { errs[i] = b.stop() })
	}
	ending.Wait()
	return errors.Join(errs...)
}

// openToHost lets people outside the namespace in.
func (s *stage) openToHost() error {
	if len(s.options.listeners) != listeners {
		return fmt.Errorf("the demo got %d listeners, expected %d", len(s.options.listeners), listeners)
	}
	for i, target := range []string{listenWest: s.west.Address(), listenEast: s.east.Address(), listenAdmin: adminAddress} {
		s.atEnd(rig.ServeProxy(s.options.listeners[i], target).Close)
	}
	for i, c := range []*rig.Cluster{listenWest: s.west, listenEast: s.east} {
		if err := writeKubeconfig(c, s.kubeconfig(c), rig.Server("https://"+s.hostAddress(i))); err != nil {
			return err
		}
	}
	return nil
}

// kubeconfig is the path of the kubeconfig that works outside the namespace.
func (s *stage) kubeconfig(c *rig.Cluster) string { return filepath.Join(s.dir, kubeconfigName(c)) }

func kubeconfigName(c *rig.Cluster) string { return c.Name() + ".kubeconfig" }

func (s *stage) hostAddress(listener int) string {
	return s.options.listeners[listener].Addr().String()
}

// metricsURL is the controller's, inside the namespace or outside it.
func metricsURL(address string) string { return "http://" + address + "/metrics" }

func writeKubeconfig(c *rig.Cluster, path string, options ...rig.KubeconfigOption) error {
	// Names of users differ, so that both files can be used at once.
	user := rig.User{Name: c.Name() + "-admin", Groups: c.Admin().Groups}
	return writeKubeconfigOf(c, user, path, options...)
}

func writeKubeconfigOf(c *rig.Cluster, user rig.User, path string, options ...rig.KubeconfigOption) error {
	data, err := c.Kubeconfig(user, options...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write a kubeconfig for %s: %w", c.Name(), err)
	}
	return nil
}

// all runs things at once and waits for all of them; an error ends the others.
func all(ctx context.Context, things ...func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, thing := range things {
		group.Go(func() error { return thing(ctx) })
	}
	return group.Wait()
}
