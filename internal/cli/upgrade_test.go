package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// mirrorOf runs a command of another version; its two streams are one, as on a terminal.
func (c piped) mirrorOf(t *testing.T, version string, args ...string) (code int, terminal string) {
	t.Helper()
	var out bytes.Buffer
	code = Main(t.Context(), Streams{In: strings.NewReader(""), Out: &out, Err: &out}, full(version), append(args, "--kubeconfig", c.kubeconfig))
	return code, out.String()
}

// kubectl goes on after an object that it cannot apply, and a pipe may break: the old objects are then still in use.
func TestPruneWaitsForTheWholeUpgrade(t *testing.T) {
	c := installedCluster(t, "--ha")
	code, printed := c.mirrorOf(t, "v1.0.0", "upgrade", "--ha", "false")
	if code != 0 {
		t.Fatal(printed)
	}
	if note, manifest := strings.Index(printed, "read the release notes"), strings.Index(printed, "kind:"); note < 0 || note > manifest {
		t.Errorf("UPG-1: the release notes are named at %d, after the first object, at %d: too late for a pipe", note, manifest)
	}
	manifest := printed[strings.Index(printed, "---\n"):strings.Index(printed, "Not needed any more")]
	documents := strings.SplitAfter(manifest, "---\n")
	record := slices.IndexFunc(documents, func(text string) bool { return strings.Contains(text, "type: linkspan.io/install") })
	if record != len(documents)-1 {
		t.Errorf("the settings are object %d of %d, and name a version that is not there yet", record, len(documents))
	}
	c.kubectl(t, strings.TrimSuffix(documents[record], "---\n"), "apply", "-f", "-")
	if code, text := c.mirrorOf(t, "v1.0.0", "prune"); code == 0 || !strings.Contains(text, "Deployment linkerd-multicluster/linkspan") || !strings.Contains(text, "mirror upgrade first") {
		t.Errorf("prune after half an upgrade: code %d, %s", code, text)
	}
	c.kubectl(t, manifest, "apply", "-f", "-")
	if code, text := c.mirrorOf(t, "v1.0.0", "prune"); code != 0 || !strings.Contains(text, "kind: PodDisruptionBudget") {
		t.Errorf("prune after all of it: code %d, %s", code, text)
	}
}

// What both Helm and we write to has no owner.
func TestUpgradeRefusesWhatIsHelms(t *testing.T) {
	c := installedCluster(t)
	c.kubectl(t, "", "annotate", "crd", "links.multicluster.linkerd.io", "meta.helm.sh/release-name=linkspan-crds")
	c.refuses(t, "the type Link belongs to Helm's release linkspan-crds: leave it out with --skip-crds", "upgrade")
	c.mirror(t, "upgrade", "--skip-crds")
	c.kubectl(t, "", "annotate", "-n", "linkerd-multicluster", "deployment", "linkspan", "meta.helm.sh/release-name=linkspan")
	c.refuses(t, "Deployment linkerd-multicluster/linkspan belongs to Helm's release linkspan", "upgrade", "--skip-crds")
	// The mend that the refusal names.
	c.kubectl(t, "", "annotate", "-n", "linkerd-multicluster", "deployment", "linkspan", "meta.helm.sh/release-name-")
	c.mirror(t, "upgrade", "--skip-crds")
}

// UPG-3: --reset-values forgets how it was installed, but not what belongs to somebody else.
func TestResetValues(t *testing.T) {
	c := emptyCluster(t)
	c.kubectl(t, c.mirror(t, "install", "--crds").out, "apply", "-f", "-")
	c.kubectl(t, "", "create", "namespace", "linkerd-multicluster")
	c.kubectl(t, c.mirror(t, "install", "--gateway", "false", "--ha", "--skip-crds", "--create-namespace=false").out, "apply", "-f", "-")
	kinds := kindsOf(manifests(t, c.mirror(t, "upgrade", "--reset-values", "--gateway", "false").out))
	for _, kind := range []string{"PodDisruptionBudget", "CustomResourceDefinition", "Namespace"} {
		if kinds[kind] != 0 {
			t.Errorf("prints a %s", kind)
		}
	}
	if kinds = kindsOf(manifests(t, c.mirror(t, "upgrade").out)); kinds["PodDisruptionBudget"] == 0 {
		t.Error("INST-8: upgrade forgets --ha without being told")
	}
}
