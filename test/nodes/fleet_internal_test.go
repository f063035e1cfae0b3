//go:build linux

package nodes

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linkspan/linkspan/test/nodes/network"
	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// A start that can never succeed ends, and says why: the logs go with it.
func TestStartFailsWithTheProcessThatEnded(t *testing.T) {
	Need(t)
	programs := t.TempDir()
	entries, err := os.ReadDir(os.Getenv(envPrograms))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if err := os.Symlink(filepath.Join(os.Getenv(envPrograms), entry.Name()), filepath.Join(programs, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	kubelet := filepath.Join(programs, kubebin.Kubelet)
	if err := os.Remove(kubelet); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho unknown flag: --nonsense\nexit 3\n"
	if err := os.WriteFile(kubelet, []byte(script), 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	t.Setenv(envPrograms, programs)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fleet, err := Start(ctx, Options{Clusters: []ClusterOptions{{Name: "west"}}, Progress: t.Output()})
	if err == nil {
		t.Fatal("a cluster without kubelet has started", fleet.Close())
	}
	for _, want := range []string{"node west-1: kubelet has ended: exit status 3", "unknown flag: --nonsense", rig.EnvKeep} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
}

// What was made before a failure is taken away: the next start must not fail because of it.
func TestClusterThatFailsHalfWayIsTakenAway(t *testing.T) {
	Need(t)
	options := ClusterOptions{Name: "west"}
	for round := range 2 {
		s, err := newState()
		if err != nil {
			t.Fatal(err)
		}
		f := &Fleet{state: s, progress: progress{to: t.Output(), start: time.Now()}}
		inTheWay := filepath.Join(s.dir, options.Name+"-nodes")
		if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := f.newCluster(1, options); err == nil || !strings.Contains(err.Error(), inTheWay) {
			t.Errorf("round %d: got %v, want an error about the file %s", round, err, inTheWay)
		}
		if err := f.Close(); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
}

// A route whose removal failed is removed later, and nobody else gets its address until then.
func TestFailedRemovalOfARouteIsTriedAgain(t *testing.T) {
	Need(t)
	segment, err := network.NewSegment(1, rig.ClusterAddress(1))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := segment.Close(); err != nil {
			t.Error(err)
		}
	}()
	address := segment.LoadBalancers().Addr().Next()
	b := &balancer{cluster: &Cluster{segment: segment}, route: map[netip.Addr]int{address: 1}}
	if err := b.unroute(address); err == nil {
		t.Fatal("a route that is not there was removed")
	}
	if err := segment.Route(netip.PrefixFrom(address, address.BitLen()), 1); err != nil {
		t.Fatal(err)
	}
	if err := b.unroute(address); err != nil {
		t.Error(err)
	}
	if err := segment.Unroute(netip.PrefixFrom(address, address.BitLen())); err == nil {
		t.Error("the route was still there")
	}
}
