package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linkspan/linkspan/test/nodes/walkthrough"
)

// homeNamespace is where our releases are.
const homeNamespace = "linkerd-multicluster"

// installation is what a test wants of ours in both clusters, linked both ways.
type installation struct {
	// Flags are given to helm install, in both clusters, such as --set=controller.replicas=2 or -f charts/linkspan/values-ha.yaml.
	Flags []string
	// Unlinked leaves the two links out.
	Unlinked bool
}

// install installs our charts by helm with the values of the walkthrough, links both ways, and takes all of it away again.
func (w *world) install(t *testing.T, want installation) {
	t.Helper()
	if !kept() {
		before := w.objects(t)
		t.Cleanup(func() { w.expectNothingLeft(t, before) })
		t.Cleanup(func() { w.uninstall(t) })
	}
	w.certify(t)
	w.sh(t, fmt.Sprintf(`
install() {
    helm install linkspan-crds charts/linkspan-crds --kube-context $1 -n %[1]s
    helm install linkspan charts/linkspan --kube-context $1 -n %[1]s --wait --timeout 2m \
        -f docs/walkthrough.yaml --set identityTrustDomain=$1.cluster.local %[2]s >&2
}
install east & east=$!
install west
wait $east
`, homeNamespace, strings.Join(want.Flags, " ")))
	if want.Unlinked {
		return
	}
	w.sh(t, `
mirror link --context east --cluster-name east | kubectl --context west apply -f -
mirror link --context west --cluster-name west | kubectl --context east apply -f -
kubectl --context west -n linkerd-multicluster wait link/east --for=condition=Ready --timeout=60s
kubectl --context east -n linkerd-multicluster wait link/west --for=condition=Ready --timeout=60s
`)
}

// certify makes the namespace, with certificates for both halves of each gateway, as the walkthrough does.
func (w *world) certify(t *testing.T) {
	t.Helper()
	blocks, err := walkthrough.Under(w.walkthrough(t), walkthrough.Certificates)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks {
		w.sh(t, block.Script)
	}
}

// uninstall takes away what install has made.
func (w *world) uninstall(t *testing.T) {
	t.Helper()
	out, err := w.try(withoutCancel(t), uninstallScript, os.Stderr)
	if err != nil {
		t.Errorf("uninstall: %v\n%s", err, out)
	}
}

// walkthrough are the blocks of docs/walkthrough.md, which write into a folder of the test.
func (w *world) walkthrough(t *testing.T) []walkthrough.Block {
	t.Helper()
	blocks, err := walkthrough.Read(w.Checkout, filepath.Join(t.TempDir(), "certs"))
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}
