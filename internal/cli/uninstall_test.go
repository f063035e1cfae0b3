package cli

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/internal/install"
	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// piped is a cluster without anything of ours, the type Link included, and kubectl.
type piped struct {
	*rig.Cluster
	kubeconfig, kubectlPath string
}

func emptyCluster(t *testing.T) piped {
	t.Helper()
	c := rig.New(t, rig.ClusterOptions{Name: "west", SkipCRDs: true, Controllers: []string{rig.NamespaceController}})[0]
	programs, err := kubebin.Ensure(t.Context(), "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	kubectl := filepath.Join(programs, kubebin.Kubectl)
	if _, err := exec.LookPath(kubectl); err != nil { // a folder given by KUBEBUILDER_ASSETS may lack it
		kubectl = kubebin.Kubectl
	}
	return piped{Cluster: c, kubeconfig: kubeconfigFile(t, c), kubectlPath: kubectl}
}

// mirror runs a command against the cluster, which must succeed.
func (c piped) mirror(t *testing.T, args ...string) result {
	t.Helper()
	got := runMirror(t, append(args, "--kubeconfig", c.kubeconfig)...)
	if got.code != 0 {
		t.Fatalf("mirror %v: %+v", args, got)
	}
	return got
}

// refuses runs a command that must fail, say why, and print nothing to apply or delete.
func (c piped) refuses(t *testing.T, want string, args ...string) {
	t.Helper()
	got := runMirror(t, append(args, "--kubeconfig", c.kubeconfig)...)
	if got.code == 0 || got.out != "" || !strings.Contains(got.err, want) {
		t.Errorf("mirror %v: %+v\nwant %q", args, got, want)
	}
}

func (c piped) kubectl(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.kubectlPath, append([]string{"--kubeconfig", c.kubeconfig, "--cache-dir", t.TempDir()}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("kubectl %v: %v\n%s", args, err, out.String())
	}
	if strings.Contains(out.String(), "Warning") {
		t.Errorf("kubectl %v warns:\n%s", args, out.String())
	}
}

// leftovers are all objects that mention us by name, of all kinds that an installation can have.
func (c piped) leftovers(ctx context.Context, t *testing.T) []string {
	t.Helper()
	var found []string
	for _, kind := range append(install.Kinds(), install.Kind{GroupVersionKind: schema.GroupVersionKind{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease"}}) {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := c.Client().List(ctx, list); apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		for _, item := range list.Items {
			text := item.Namespace + "/" + item.Name
			if strings.Contains(text, "linkspan") || strings.Contains(text, "linkerd") {
				found = append(found, kind.Kind+" "+text)
			}
		}
	}
	return found
}

// CLI-8, UPG-3: the whole life of an installation, by pipes as in the docs, on a real API server.
func TestInstallUpgradePruneUninstall(t *testing.T) {
	c := emptyCluster(t)
	before := c.leftovers(t.Context(), t)
	c.refuses(t, "mirror install was not applied here", "upgrade")
	c.refuses(t, "nothing to uninstall", "uninstall")

	c.kubectl(t, c.mirror(t, "install", "--gateway", "false", "--ha", "--set", "controller.logLevel=debug").out, "apply", "-f", "-")

	// Values given before stay, what they do not need any more is named, and printed by prune.
	c.mirror(t, "prune")
	upgraded := c.mirror(t, "upgrade", "--ha", "false", "--set", "commonLabels.team=network")
	if !strings.Contains(upgraded.err, "PodDisruptionBudget linkerd-multicluster/linkspan") || !strings.Contains(upgraded.err, "mirror prune") {
		t.Errorf("upgrade does not tell what is not needed any more: %s", upgraded.err)
	}
	for _, want := range []string{"--log-level=debug", "team: network", "replicas: 1"} {
		if !strings.Contains(upgraded.out, want) {
			t.Errorf("upgrade prints no %s", want)
		}
	}
	if strings.Contains(upgraded.out, "gateway ingress") || kindsOf(manifests(t, upgraded.out))["Deployment"] != 1 {
		t.Error("upgrade forgot --gateway false")
	}
	c.kubectl(t, upgraded.out, "apply", "-f", "-")
	pruned := c.mirror(t, "prune").out
	if refs := references(t, pruned); len(refs) != 1 || refs[0] != "PodDisruptionBudget linkerd-multicluster/linkspan" {
		t.Errorf("prune prints %v", refs)
	}
	c.kubectl(t, pruned, "delete", "-f", "-")
	if got := c.mirror(t, "prune"); got.out != "" || !strings.Contains(got.err, "nothing to prune") {
		t.Errorf("prune after prune: %+v", got)
	}
	if text := c.mirror(t, "upgrade", "--reset-values", "--gateway", "false").out; strings.Contains(text, "--log-level=debug") {
		t.Error("--reset-values keeps values")
	}

	c.refuseWhileLinked(t)
	c.kubectl(t, c.mirror(t, "uninstall", "--crds").out, "delete", "-f", "-")
	if after := c.leftovers(t.Context(), t); !slices.Equal(before, after) {
		t.Errorf("left behind: %v", after)
	}
}

// refuseWhileLinked: the controller must outlive the Links, or their mirrors and finalizers stay.
func (c piped) refuseWhileLinked(t *testing.T) {
	t.Helper()
	l := rig.Link("linkerd-multicluster", "east")
	rig.Create(t, c.Cluster, l)
	c.refuses(t, "mirror unlink --cluster-name", "uninstall")
	c.refuses(t, "--crds: 1 Links exist", "uninstall", "--force", "--crds")
	forced := c.mirror(t, "uninstall", "--force")
	if !strings.Contains(forced.err, "Link east") || strings.Contains(forced.out, "kind: Namespace") || strings.Contains(forced.out, "kind: Link") {
		t.Errorf("--force must leave the Links and their namespace: %+v", forced)
	}
	if err := c.Client().Delete(t.Context(), l); err != nil {
		t.Fatal(err)
	}
}

// Objects of users in the namespace are theirs: it stays until they are gone, and so does the type.
func TestUninstallKeepsWhatIsOthers(t *testing.T) {
	c := emptyCluster(t)
	c.kubectl(t, c.mirror(t, "install", "--gateway", "false").out, "apply", "-f", "-")
	own := &corev1.Secret{ObjectMeta: objectMeta("ingress-tls")}
	// The controller's own object, which no installation prints.
	rig.Create(t, c.Cluster, own, &coordinationv1.Lease{ObjectMeta: objectMeta("linkspan-mirror")})
	got := c.mirror(t, "uninstall")
	refs := references(t, got.out)
	for _, ref := range refs {
		if strings.HasPrefix(ref, "Namespace ") || strings.HasPrefix(ref, "CustomResourceDefinition ") || strings.Contains(ref, "ingress-tls") {
			t.Errorf("prints %s", ref)
		}
	}
	if refs[0] != "Deployment linkerd-multicluster/linkspan" || refs[len(refs)-1] != "Lease linkerd-multicluster/linkspan-mirror" {
		t.Errorf("want the controller to go first, and its Lease last: %v", refs)
	}
	for _, want := range []string{"Secret ingress-tls", "kubectl delete namespace linkerd-multicluster", "--crds"} {
		if !strings.Contains(got.err, want) {
			t.Errorf("%s\ndoes not say %q", got.err, want)
		}
	}
	c.kubectl(t, got.out, "delete", "-f", "-")
	if err := c.Client().Get(t.Context(), client.ObjectKeyFromObject(own), own); err != nil {
		t.Errorf("the user's Secret: %v", err)
	}
	// What Helm has taken over is Helm's, whatever label it kept.
	helms := &corev1.ConfigMap{ObjectMeta: objectMeta("linkspan-trust-anchors")}
	helms.Labels = installationLabels()
	helms.Annotations = map[string]string{"meta.helm.sh/release-name": "linkspan"}
	rig.Create(t, c.Cluster, helms)
	c.refuses(t, "nothing to uninstall", "uninstall")
}

// CLI-4, UPG-1: no upgrade over two major versions, and no pruning by a version that is not installed.
func TestUpgradeAcrossVersions(t *testing.T) {
	c := emptyCluster(t)
	c.kubectl(t, c.mirror(t, "install", "--gateway", "false").out, "apply", "-f", "-")
	for version, want := range map[string]string{
		"v1.0.0": "read the release notes",
		"v2.0.0": "skip none",
	} {
		var out, errs bytes.Buffer
		code := Main(t.Context(), Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, full(version), []string{"upgrade", "--kubeconfig", c.kubeconfig})
		if !strings.Contains(errs.String(), want) || (code == 0) != (out.Len() > 0) {
			t.Errorf("%s: code %d, %s\nwant %q", version, code, errs.String(), want)
		}
		if code == 0 && !strings.Contains(out.String(), "mirror:"+version) {
			t.Errorf("upgrade to %s has other images", version)
		}
		out.Reset()
		errs.Reset()
		if code := Main(t.Context(), Streams{Out: &out, Err: &errs}, full(version), []string{"prune", "--kubeconfig", c.kubeconfig}); code == 0 || !strings.Contains(errs.String(), "mirror upgrade first") {
			t.Errorf("prune of %s: code %d, %s", version, code, errs.String())
		}
	}
	pinned := c.mirror(t, "upgrade", "--set", "image.tag=v0.0.9")
	if !strings.Contains(pinned.err, "Images stay at v0.0.9") {
		t.Errorf("nothing is said of a pinned tag: %s", pinned.err)
	}
}
