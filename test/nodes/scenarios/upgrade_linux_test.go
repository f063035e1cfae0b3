package scenarios

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/linkspan/linkspan/test/app/manifests"
	"github.com/linkspan/linkspan/test/app/traffic"
	"github.com/linkspan/linkspan/test/nodes"
	"github.com/linkspan/linkspan/test/nodes/pair"
)

// nextVersion is that of the same programs, built again.
const nextVersion = "dev2"

// "I upgrade and roll back while people vote, and nobody notices" (UPG-*, section 4.4).
func TestIUpgradeAndRollBack(t *testing.T) {
	beyondCore(t)
	w := theWorld(t)
	w.importNextVersion(t)
	w.install(t, twoOfEach())
	e := w.election(t, throughGateway)
	const scenario = "Upgrade and rollback, two of each, through the gateway"
	for _, step := range []struct{ name, cluster, command string }{
		{"upgrade of east", "east", "upgrade linkspan charts/linkspan --reset-then-reuse-values --set image.tag=" + nextVersion},
		{"upgrade of west", "west", "upgrade linkspan charts/linkspan --reset-then-reuse-values --set image.tag=" + nextVersion},
		{"rollback of west", "west", "rollback linkspan"},
		{"rollback of east", "east", "rollback linkspan"},
	} {
		mark := e.during(t, event{scenario: scenario, name: step.name, do: func(t *testing.T) {
			t.Helper()
			w.sh(t, fmt.Sprintf("helm %s --kube-context %s -n %s --wait --timeout 3m >&2", step.command, step.cluster, homeNamespace))
			w.until(t, "all pods are of the new version", func(ctx context.Context) error { return whole(ctx, w.Fleet.Cluster(step.cluster), homeNamespace) })
			w.expectGreen(t, step.cluster)
		}})
		expectNobodyRefused(t, mark)
		e.controls(t)
	}
	e.expectWell(t, scenario, false)
}

// expectNobodyRefused fails when a vote failed, but for those on connections that outlived the drain.
func expectNobodyRefused(t *testing.T, mark traffic.MarkReport) {
	t.Helper()
	if mark.FailedFresh > 0 || mark.Failed > cutWithDrain {
		t.Errorf("%s: %d votes failed, %d of them on new connections: %v", mark.Name, mark.Failed, mark.FailedFresh, mark.Failures)
	}
}

// importNextVersion gives all nodes the images of another version.
func (w *world) importNextVersion(t *testing.T) {
	t.Helper()
	for image, program := range map[string]string{"/mirror:": "./cmd/controller", "/gateway:": "./cmd/gateway"} {
		archive, err := nodes.Archive(t.Context(), t.TempDir(), nodes.Binary{Image: pair.Registry + image + nextVersion, Package: program, Dir: w.Checkout})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Fleet.Import(t.Context(), archive); err != nil {
			t.Fatal(err)
		}
	}
}

// expectGreen runs mirror check. A warning about versions is what it is there for.
func (w *world) expectGreen(t *testing.T, cluster string) {
	t.Helper()
	if out := w.sh(t, "mirror check --context "+cluster); strings.Contains(out, "×") {
		t.Errorf("the check of %s is not green:\n%s", cluster, out)
	}
}

// "I drain each node in turn, with disruption budgets, and nobody notices" (HA-*, section 4.4).
func TestIDrainMyNodes(t *testing.T) {
	beyondCore(t)
	w := theWorld(t)
	w.install(t, twoOfEach())
	e := w.election(t, throughGateway)
	w.readyToDrain(t)
	const scenario = "Drain, two of each, through the gateway"
	for _, c := range []*nodes.Cluster{w.east(), w.west()} {
		for _, node := range w.withoutMeter(t, c) {
			mark := e.during(t, event{scenario: scenario, name: "drain of " + node, do: func(t *testing.T) {
				t.Helper()
				t.Cleanup(func() { _, _ = c.Kubectl(withoutCancel(t), "uncordon", node) }) // where the test fails meanwhile
				if out, err := c.Kubectl(t.Context(), "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=90s"); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}})
			expectNobodyRefused(t, mark)
			back := e.during(t, event{scenario: scenario, name: node + " is back", do: func(t *testing.T) {
				t.Helper()
				if _, err := c.Kubectl(t.Context(), "uncordon", node); err != nil {
					t.Fatal(err)
				}
				w.until(t, "all pods are back", func(ctx context.Context) error {
					return errors.Join(whole(ctx, c, homeNamespace), whole(ctx, c, manifests.Namespace))
				})
			}})
			expectNobodyRefused(t, back)
		}
	}
	e.expectWell(t, scenario, false)
}

// readyToDrain gives the application disruption budgets, and the clusters two pods that answer for names: else a drain ends all
// of one kind at a time, once the drain before has brought them onto one node.
func (w *world) readyToDrain(t *testing.T) {
	t.Helper()
	const budget = `
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: %[2]s, namespace: %[1]s}
spec: {maxUnavailable: 1, selector: {matchLabels: {%[3]s: %[2]s}}}
---
`
	names := func(ctx context.Context, c *nodes.Cluster, replicas string) error {
		_, err := c.Kubectl(ctx, "scale", "--namespace=kube-system", "deployment/coredns", "--replicas="+replicas)
		return err
	}
	t.Cleanup(func() {
		w.each(t, func(ctx context.Context, c *nodes.Cluster) error {
			_, err := c.Kubectl(ctx, "delete", "pdb", "--namespace=kube-system", "kube-dns", "--ignore-not-found")
			return errors.Join(err, names(ctx, c, "1"))
		})
	})
	w.each(t, func(ctx context.Context, c *nodes.Cluster) error {
		text := fmt.Sprintf(budget, "kube-system", "kube-dns", "k8s-app")
		for _, app := range []string{"web", "emoji", "voting"} {
			text += fmt.Sprintf(budget, manifests.Namespace, app, "app")
		}
		if err := errors.Join(c.Apply(ctx, text), names(ctx, c, "2")); err != nil {
			return err
		}
		return within(ctx, patience, func(ctx context.Context) error { return whole(ctx, c, "kube-system") })
	})
}

// withoutMeter are the names of a cluster's nodes but that of the meter, which would forget all that it has measured.
func (w *world) withoutMeter(t *testing.T, c *nodes.Cluster) (names []string) {
	t.Helper()
	pods, err := podsOf(t.Context(), c, manifests.Namespace, map[string]string{"app": "traffic"})
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range c.Nodes() {
		if len(pods) == 0 || pods[0].Spec.NodeName != node.Name() {
			names = append(names, node.Name())
		}
	}
	return names
}
