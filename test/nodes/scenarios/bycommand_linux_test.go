package scenarios

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// "I install without Helm" (INST-1, INST-2, CLI-*): what mirror install prints is applied, upgraded, pruned and removed as
// docs/install.md says, and the clusters are as they were.
func TestIInstallWithoutHelm(t *testing.T) {
	beyondCore(t)
	takesAway(t)
	w := theWorld(t)
	before := w.objects(t)
	t.Cleanup(func() { w.expectNothingLeft(t, before) })
	t.Cleanup(func() { w.uninstallByCommand(t) })
	w.certify(t)
	w.sh(t, `
for cluster in east west; do
    mirror install -f docs/walkthrough.yaml --set image.tag=dev,identityTrustDomain=$cluster.cluster.local,controller.podDisruptionBudget.enabled=true |
        kubectl --context $cluster apply -f -
done
for cluster in east west; do
    kubectl --context $cluster -n linkerd-multicluster rollout status deployment --timeout=60s
    mirror check --context $cluster
done
mirror link --context east --cluster-name east | kubectl --context west apply -f -
mirror link --context west --cluster-name west | kubectl --context east apply -f -
kubectl --context west -n linkerd-multicluster wait link/east --for=condition=Ready --timeout=60s
kubectl --context east -n linkerd-multicluster wait link/west --for=condition=Ready --timeout=60s
`)
	w.callers(t)
	w.untilCalled(t, time.Now(), w.west(), w.east())
	mirror, err := w.service(t.Context(), "emoji-svc-east")
	if err != nil {
		t.Fatal(err)
	}

	gateways := w.identities(t, ingress)
	out := w.sh(t, `
for cluster in east west; do
    mirror upgrade --context $cluster --set controller.logLevel=debug,controller.podDisruptionBudget.enabled=false |
        kubectl --context $cluster apply -f -
    mirror prune --context $cluster | kubectl --context $cluster delete -f -
    kubectl --context $cluster -n linkerd-multicluster rollout status deployment --timeout=60s
done
`)
	if err := says(out, nil)(`poddisruptionbudget.policy "linkspan" deleted`); err != nil {
		t.Errorf("what is not needed any more: %v", err)
	}
	w.untilCalled(t, time.Now(), w.west(), w.east())
	if now, err := w.service(t.Context(), "emoji-svc-east"); err != nil || now != mirror {
		t.Errorf("the mirror is %+v, was %+v: %v", now, mirror, err)
	}
	if diff := cmp.Diff(gateways, w.identities(t, ingress)); diff != "" {
		t.Errorf("an upgrade that changes the controller alone has replaced the gateway (-before +now):\n%s", diff)
	}
	w.controls(t)
	for _, cluster := range []string{"east", "west"} {
		out, err := w.try(t.Context(), "mirror uninstall --context "+cluster, t.Output())
		if err == nil || out != "" || !strings.Contains(err.Error(), "still has Links") {
			t.Errorf("mirror uninstall while there are Links: %v, and prints\n%s", err, out)
		}
	}
}

// uninstallByCommand takes away what mirror install has made.
func (w *world) uninstallByCommand(t *testing.T) {
	t.Helper()
	out, err := w.try(withoutCancel(t), uninstallByCommandScript, os.Stderr)
	if err != nil {
		t.Errorf("uninstall: %v\n%s", err, out)
	}
}
