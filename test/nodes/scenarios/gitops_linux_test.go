package scenarios

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// repository is a folder of files that says all of what is in both clusters, as a tool for GitOps would follow it.
type repository struct {
	*world

	dir string
}

// "I link two clusters from files alone" (GIT-1, GIT-2, LINK-2, section 4.6): as docs/gitops.md says, with the manifest that
// it shows. No command of ours is run.
func TestILinkClustersFromFilesAlone(t *testing.T) {
	beyondCore(t)
	takesAway(t)
	w := theWorld(t)
	before := w.objects(t)
	t.Cleanup(func() { w.expectNothingLeft(t, before) })
	r := &repository{world: w, dir: t.TempDir()}
	t.Cleanup(func() { r.takeAway(t) })
	w.certify(t)
	r.accounts(t, "link-from-west")
	r.sync(t)
	r.link(t, "link-from-west")
	r.sync(t)
	w.linkSays(t, "Ready", true)
	w.talkers(t)
	w.exportAs(t, w.east(), throughGateway, "grpc-svc")
	w.until(t, "the mirror leads to the egress", func(ctx context.Context) error { return w.leadsTo(ctx, w.west(), "grpc-svc-east") })

	links := w.watchLinks(t)
	began := time.Now()
	stream := w.stream(t, untilStopped)
	r.accounts(t, "link-from-west", "link-from-west-2")
	r.sync(t)
	r.link(t, "link-from-west-2")
	r.sync(t)
	r.accounts(t, "link-from-west-2")
	r.sync(t)
	r.prune(t)
	w.controls(t)
	stream.stop(t)
	w.expectStream(t, "while the Link's credentials are rotated", stream)
	if said := links.during(began); strings.Contains(said, ",") || !strings.HasPrefix(said, "True") {
		t.Errorf("kubectl get links said %q while credentials were rotated", said)
	} else {
		w.measured("Linked from files alone", "kubectl get links, while credentials are rotated", said)
	}
}

// accounts writes the values of both clusters: in east, accounts to link with.
func (r *repository) accounts(t *testing.T, names ...string) {
	t.Helper()
	text := "remoteAccess:\n  accounts:\n"
	for _, name := range names {
		text += "  - name: " + name + "\n"
	}
	r.write(t, "values-east.yaml", text)
	r.write(t, "values-west.yaml", "remoteAccess:\n  accounts: []\n")
}

// link writes the two objects of the page, with what is true here in the place of its examples.
func (r *repository) link(t *testing.T, account string) {
	t.Helper()
	var token corev1.Secret
	r.until(t, "the account has a token", func(ctx context.Context) error {
		if err := r.east().Client().Get(ctx, client.ObjectKey{Namespace: homeNamespace, Name: account + "-token"}, &token); err != nil {
			return fmt.Errorf("read its Secret: %w", err)
		}
		if len(token.Data[corev1.ServiceAccountTokenKey]) == 0 {
			return fmt.Errorf("its Secret %s is empty", token.Name)
		}
		return nil
	})
	var gateway corev1.Service
	if err := r.east().Client().Get(t.Context(), client.ObjectKey{Namespace: homeNamespace, Name: "linkerd-gateway"}, &gateway); err != nil {
		t.Fatal(err)
	}
	text := shown(t, filepath.Join(r.Checkout, "docs/gitops.md"), "kind: Link")
	for example, truth := range map[string]string{
		"https://api.east.example.org:6443": r.east().URL(),
		"certificate-authority-data: …":     "certificate-authority-data: " + base64.StdEncoding.EncodeToString(token.Data[corev1.ServiceAccountRootCAKey]),
		"token: …":                          "token: " + string(token.Data[corev1.ServiceAccountTokenKey]),
		"gateway.east.example.org":          gateway.Status.LoadBalancer.Ingress[0].IP,
		".linkerd.east.example.org":         ".linkerd.east.cluster.local",
	} {
		if strings.Count(text, example) != 1 {
			t.Fatalf("docs/gitops.md shows %q %d times in its Link and Secret, want once", example, strings.Count(text, example))
		}
		text = strings.Replace(text, example, truth, 1)
	}
	r.write(t, "manifests-west.yaml", text)
}

// sync does what a tool for GitOps does: it renders the charts, and applies that and the other manifests.
func (r *repository) sync(t *testing.T) {
	t.Helper()
	r.sh(t, fmt.Sprintf(`cd %q
touch manifests-east.yaml manifests-west.yaml
for cluster in east west; do
    helm template linkspan-crds $OLDPWD/charts/linkspan-crds -n %[2]s | kubectl --context $cluster apply -f - >&2
    helm template linkspan $OLDPWD/charts/linkspan -n %[2]s -f $OLDPWD/docs/walkthrough.yaml -f values-$cluster.yaml \
        --set identityTrustDomain=$cluster.cluster.local > rendered-$cluster.yaml
    kubectl --context $cluster apply -f rendered-$cluster.yaml >&2
    if [ -s manifests-$cluster.yaml ]; then kubectl --context $cluster apply -f manifests-$cluster.yaml >&2; fi
done
for cluster in east west; do
    kubectl --context $cluster -n %[2]s rollout status deployment --timeout=60s >&2
done
`, r.dir, homeNamespace))
}

// prune deletes accounts that are not in the repository any more, as such a tool does.
func (r *repository) prune(t *testing.T) {
	t.Helper()
	said := r.sh(t, fmt.Sprintf(`cd %q
kubectl --context east apply -f rendered-east.yaml --prune -l app.kubernetes.io/component=remote-access --prune-allowlist=core/v1/ServiceAccount \
    --prune-allowlist=rbac.authorization.k8s.io/v1/ClusterRole --prune-allowlist=rbac.authorization.k8s.io/v1/ClusterRoleBinding
`, r.dir))
	if err := says(said, nil)(`serviceaccount/link-from-west pruned`, "clusterrole.rbac", "clusterrolebinding.rbac"); err != nil {
		t.Errorf("the first account: %v", err)
	}
}

// takeAway takes away what is in the repository: Links first, while a controller runs.
func (r *repository) takeAway(t *testing.T) {
	t.Helper()
	out, err := r.try(withoutCancel(t), fmt.Sprintf("cd %q\n", r.dir)+takeAwayScript, os.Stderr)
	if err != nil {
		t.Errorf("take away: %v\n%s", err, out)
	}
}

func (r *repository) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// shown is the block of YAML in a page that has a word.
func shown(t *testing.T, page, word string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(string(text), "\n```") {
		if manifest, found := strings.CutPrefix(block, "yaml\n"); found && strings.Contains(manifest, word) {
			return manifest + "\n"
		}
	}
	t.Fatalf("%s shows no YAML with %q", page, word)
	return ""
}
