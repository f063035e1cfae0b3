//go:build linux

package nodes_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/test/nodes"
	"github.com/linkspan/linkspan/test/rig"
)

// Two clusters with real pods: names resolve, and pods reach pods and load balancers of the other cluster.
func TestTwoClustersWithPods(t *testing.T) {
	nodes.Need(t)
	var dir string
	settings := machineSettings(t)
	t.Run("run", func(t *testing.T) {
		fleet := start(t, nodes.ClusterOptions{Name: "west"}, nodes.ClusterOptions{Name: "east"})
		dir = fleet.Dir()
		t.Cleanup(func() { t.Logf("memory: %s", memory(t)) })
		west, east := fleet.Cluster("west"), fleet.Cluster("east")
		startProbe(t, west, "client", "")
		server := startProbe(t, east, "server", "")
		startProbe(t, west, "local", "")
		says(t, west, "a pod of its own cluster by name", "local\n", "get", "http://local.default.svc.cluster.local")
		says(t, west, "a pod of the other cluster", "server\n", "get", fmt.Sprintf("http://%s:%d", server.Status.PodIP, probePort))
		says(t, west, "a load balancer of the other cluster", "server\n", "get", "http://"+balancerOf(t, east, "server"))
		says(t, west, "its own API server's name", west.Plan().Services().Addr().Next().String()+"\n", "lookup", "kubernetes.default.svc.cluster.local")
	})
	if dir != "" {
		nothingIsLeft(t, dir)
	}
	if diff := cmp.Diff(settings, machineSettings(t)); diff != "" {
		t.Errorf("the machine's settings have changed: %s", diff)
	}
}

// nothingIsLeft looks for processes, mounts, folders and control groups.
func nothingIsLeft(t *testing.T, dir string) {
	t.Helper()
	name := filepath.Join(filepath.Base(filepath.Dir(dir)), filepath.Base(dir)) // its control group's
	expect(t, "processes to be buried", func() error {
		var errs []error
		for pid, command := range processes(t) {
			const first = 1 // it started this program
			if pid != first && pid != os.Getpid() {
				errs = append(errs, fmt.Errorf("process %d is left: %s", pid, command))
			}
		}
		return errors.Join(errs...)
	})
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) || strings.Contains(line, "netns") {
			t.Errorf("a mount is left: %s", line)
		}
	}
	for _, pattern := range []string{dir, filepath.Join("/sys/fs/cgroup", "*", name), filepath.Join("/sys/fs/cgroup", name)} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 && os.Getenv(rig.EnvKeep) == "" {
			t.Errorf("folders are left: %q", found)
		}
	}
}

// processes are all that this program can see, with their command lines.
func processes(t *testing.T) map[int]string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]string{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		command, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err == nil {
			found[pid] = strings.ReplaceAll(string(command), "\x00", " ")
		}
	}
	return found
}

// memory is what each program of a fleet uses: its own part of what it shares with others (PSS).
func memory(t *testing.T) string {
	t.Helper()
	total, kinds := 0, map[string]int{}
	for pid, command := range processes(t) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(text), "\nPss:")
		var kilobytes int
		if _, err := fmt.Sscan(after, &kilobytes); err != nil {
			continue // it has just ended
		}
		program, _, _ := strings.Cut(command, " ")
		kinds[filepath.Base(program)] += kilobytes
		total += kilobytes
	}
	const kilo = 1024
	var out strings.Builder
	fmt.Fprintf(&out, "%d MiB", total/kilo)
	for kind, kilobytes := range kinds {
		fmt.Fprintf(&out, ", %s %d", kind, kilobytes/kilo)
	}
	return out.String()
}
