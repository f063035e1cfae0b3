package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/app/manifests"
	"github.com/linkspan/linkspan/test/nodes"
)

// "I turn on everything that makes it safer, and it still works" (section 4.7, SEC-1, SEC-2, INST-12, LESSON-35):
// NetworkPolicies, the strictest level of the Pod Security Standards, and the policy that holds the controller's account.
func TestIHardenWhatIInstalled(t *testing.T) {
	beyondCore(t)
	w := theWorld(t)
	_, port, err := net.SplitHostPort(w.east().Address())
	if err != nil {
		t.Fatal(err)
	}
	const all = "10.0.0.0/8"
	const apiServers = "198.51.100.0/24"
	w.install(t, installation{Flags: []string{"--set", strings.Join([]string{
		"policy.network.enabled=true", "policy.clientNetworks={" + all + "}", "policy.probeNetworks={" + all + "}",
		"policy.network.gateways.networks={" + all + "}",
		"policy.network.apiServer.networks={" + all + "\\," + apiServers + "}", "policy.network.apiServer.ports={443\\," + port + "}",
		"policy.network.remoteAPIServers.networks={" + apiServers + "}", "policy.network.remoteAPIServers.ports={" + port + "}",
	}, ",")}})
	w.callers(t)
	w.untilCalled(t, time.Now(), w.west(), w.east())
	for _, c := range w.Fleet.Clusters() {
		out, err := c.Kubectl(t.Context(), "get", "networkpolicies", "--namespace="+homeNamespace, "--output=name")
		const ours = 3
		if err != nil || strings.Count(out, "networkpolicy") != ours {
			t.Errorf("%s has the NetworkPolicies\n%s\nwant %d: %v", c.Name(), out, ours, err)
		}
	}
	t.Log("the network of these nodes enforces no NetworkPolicies: that they are accepted is all that is shown here")
	w.expectRestricted(t)
	w.untilCalled(t, time.Now(), w.east(), w.west())
	w.expectHeld(t)
}

// expectRestricted sets the strictest level, and has all of our pods made anew under it.
func (w *world) expectRestricted(t *testing.T) {
	t.Helper()
	const enforce = "pod-security.kubernetes.io/enforce=restricted"
	for _, c := range w.Fleet.Clusters() {
		said := w.sh(t, fmt.Sprintf("kubectl --context %s label --dry-run=server --overwrite namespace %s %s 2>&1", c.Name(), homeNamespace, enforce))
		if strings.Contains(strings.ToLower(said), "warning") {
			t.Errorf("pods of %s violate the level:\n%s", c.Name(), said)
		}
		w.sh(t, fmt.Sprintf(`
kubectl --context %[1]s label --overwrite namespace %[2]s %[3]s
kubectl --context %[1]s -n %[2]s rollout restart deployment
`, c.Name(), homeNamespace, enforce))
		_, err := c.Kubectl(t.Context(), "run", "careless", "--namespace="+homeNamespace, "--image="+manifests.Image, "--privileged", "--dry-run=server")
		if err == nil || !strings.Contains(err.Error(), "violates PodSecurity") {
			t.Errorf("the level of %s is not enforced: %v", c.Name(), err)
		}
	}
	w.until(t, "all of our pods start at the level restricted", func(ctx context.Context) error {
		return errors.Join(whole(ctx, w.west(), homeNamespace), whole(ctx, w.east(), homeNamespace))
	})
}

// expectHeld tries, as the controller's account, what RBAC lets it do and the policy does not.
func (w *world) expectHeld(t *testing.T) {
	t.Helper()
	const refusal = "ValidatingAdmissionPolicy 'linkspan.linkerd-multicluster'"
	as := "--as=system:serviceaccount:" + homeNamespace + ":linkspan"
	for name, args := range map[string][]string{
		"changes a Service of somebody else": {"patch", "service", "emoji-svc", `--patch={"spec":{"selector":{"app":"mine"}}}`},
		"deletes a Service of somebody else": {"delete", "service", "emoji-svc"},
		"makes a Service that is no mirror":  {"create", "service", "clusterip", "mine", "--tcp=80"},
		"takes a mirror for its own":         {"label", "service", "emoji-svc-east", "mirror.linkerd.io/mirrored-service-"},
		"opens a mirror to the world":        {"patch", "service", "emoji-svc-east", `--patch={"spec":{"externalIPs":["203.0.113.1"]}}`},
	} {
		if _, err := w.asController(t, as, args); err == nil || !strings.Contains(err.Error(), refusal) {
			t.Errorf("who has the controller's token and %s is not refused by the policy: %v", name, err)
		}
	}
	if _, err := w.asController(t, as, []string{"annotate", "service", "emoji-svc-east", "example.org/by=hand"}); err != nil {
		t.Errorf("the controller's account may not change a mirror: %v", err)
	}
	if _, err := w.west().Kubectl(t.Context(), "annotate", "service", "emoji-svc", "--namespace="+manifests.Namespace, "example.org/by=hand", "--dry-run=server"); err != nil {
		t.Errorf("the policy is in the way of others: %v", err)
	}
}

func (w *world) asController(t *testing.T, as string, args []string) (string, error) {
	t.Helper()
	return w.west().Kubectl(t.Context(), append(args, as, "--namespace="+manifests.Namespace, "--dry-run=server")...)
}

// "I install for high availability, and have one node too few" (HA-*, INST-7): values-ha.yaml as it is, on two nodes.
func TestIHaveANodeTooFewForHA(t *testing.T) {
	beyondCore(t)
	w := theWorld(t)
	w.install(t, twoOfEach())
	w.callers(t)
	w.untilCalled(t, time.Now(), w.west(), w.east())
	w.sh(t, fmt.Sprintf(`
for cluster in east west; do
    helm upgrade linkspan charts/linkspan --kube-context $cluster -n %s -f docs/walkthrough.yaml -f charts/linkspan/values-ha.yaml \
        --set identityTrustDomain=$cluster.cluster.local >&2
done`, homeNamespace))
	for _, c := range w.Fleet.Clusters() {
		for _, component := range []string{controller, ingress, egress} {
			w.until(t, "one "+component+" too many waits for a node", func(ctx context.Context) error { return spread(ctx, c, component) })
		}
	}
	w.untilCalled(t, time.Now(), w.west(), w.east())
	w.untilCalled(t, time.Now(), w.east(), w.west())
	w.controls(t)
	out, err := w.try(t.Context(), "mirror check --context west 2>&1", t.Output())
	if err != nil {
		t.Errorf("what works is told to be broken: %v", err)
	}
	if err := says(out, nil)("‼", "2 of 3 replicas are ready"); err != nil {
		t.Errorf("the check: %v", err)
	}
}

// spread is an error unless two pods of a component are ready, each on a node of its own, and a third has none.
func spread(ctx context.Context, c *nodes.Cluster, component string) error {
	pods, err := podsOf(ctx, c, homeNamespace, client.MatchingLabels{componentLabel: component})
	if err != nil {
		return err
	}
	on := map[string]int{}
	for i := range pods {
		if p := &pods[i]; p.Spec.NodeName == "" || readyPod(p) {
			on[p.Spec.NodeName]++
		}
	}
	want := map[string]int{"": 1, c.Nodes()[0].Name(): 1, c.Nodes()[1].Name(): 1}
	if diff := cmp.Diff(want, on); diff != "" {
		return fmt.Errorf("pods of the %s by node (-want +got):\n%s", component, diff)
	}
	return nil
}
