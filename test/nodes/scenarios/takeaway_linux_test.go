package scenarios

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// letGo is a function of the scripts, for before a cluster's controllers go. A Link has a finalizer that they alone remove: its
// namespace and its CRD would wait for it for ever.
const letGo = `
let_go() {
    for stuck in $(kubectl --context $1 -n linkerd-multicluster get links --ignore-not-found --output=name); do
        echo "$stuck of $1 is not removed, and is let go" >&2
        failed=1
        kubectl --context $1 -n linkerd-multicluster patch $stuck --type=merge --patch='{"metadata":{"finalizers":null}}'
    done
}
`

// Each script takes everything away by another way. It goes on after a failure, and tells of it by its exit code: the test may
// have broken anything. So nothing in it waits without a limit.
const (
	// uninstallScript removes Links while the controllers run, then everything else.
	uninstallScript = letGo + `
set +e
failed=0
for cluster in east west; do
    kubectl --context $cluster -n linkerd-multicluster delete links --all --wait --timeout=60s || failed=1
    let_go $cluster
done
for cluster in east west; do
    kubectl --context $cluster delete namespace vote --ignore-not-found --wait --timeout=60s || failed=1
    helm uninstall linkspan --kube-context $cluster -n linkerd-multicluster --wait --timeout 60s || failed=1
    helm uninstall linkspan-crds --kube-context $cluster -n linkerd-multicluster --wait --timeout 60s || failed=1
    kubectl --context $cluster delete namespace linkerd-multicluster --wait --timeout=60s || failed=1
    kubectl --context $cluster delete crd links.multicluster.linkerd.io --timeout=60s || failed=1
done
exit $failed
`
	// takeAwayScript is in the order of docs/gitops.md. It runs in the repository's folder.
	takeAwayScript = letGo + `
set +e
failed=0
kubectl --context west delete -f manifests-west.yaml --ignore-not-found --wait --timeout=60s || failed=1
for cluster in east west; do
    let_go $cluster
    kubectl --context $cluster delete namespace vote --ignore-not-found --wait --timeout=60s || failed=1
    kubectl --context $cluster delete -f rendered-$cluster.yaml --ignore-not-found --wait --timeout=60s || failed=1
    kubectl --context $cluster delete namespace linkerd-multicluster --wait --timeout=60s || failed=1
    kubectl --context $cluster delete crd links.multicluster.linkerd.io --timeout=60s || failed=1
done
exit $failed
`
	// uninstallByCommandScript is in the order of docs/install.md. The certificates are not the installation's: the namespace
	// is, and goes when they have gone.
	uninstallByCommandScript = letGo + `
set +e
failed=0
mirror unlink --context west --cluster-name east | kubectl --context west delete -f - --timeout=60s || failed=1
mirror unlink --context east --cluster-name west | kubectl --context east delete -f - --timeout=60s || failed=1
for cluster in east west; do
    let_go $cluster
    kubectl --context $cluster delete namespace vote --ignore-not-found --wait --timeout=60s || failed=1
    mirror uninstall --crds --context $cluster | kubectl --context $cluster delete -f - --timeout=60s || failed=1
    kubectl --context $cluster get namespace linkerd-multicluster || failed=1
    kubectl --context $cluster -n linkerd-multicluster delete configmap/trust-anchors secret/ingress-tls secret/egress-tls --timeout=60s || failed=1
    kubectl --context $cluster -n linkerd-multicluster wait pod --all --for=delete --timeout=60s || failed=1
    mirror uninstall --context $cluster | kubectl --context $cluster delete -f - --timeout=60s || failed=1
    # Nothing is left to do, and if there is, other tests shall not suffer.
    kubectl --context $cluster get namespace/linkerd-multicluster crd/links.multicluster.linkerd.io --output=name >&2 && failed=1
    kubectl --context $cluster delete namespace/linkerd-multicluster crd/links.multicluster.linkerd.io --ignore-not-found --wait --timeout=60s
done
exit $failed
`
)

// A Link that nobody removes the finalizer of ends neither the run nor the clean-up: no command waits for ever, and the Link is
// let go before the last controller is.
func TestAStuckLinkDoesNotEndTheRun(t *testing.T) {
	bin := t.TempDir()
	said := filepath.Join(bin, "said")
	for name, program := range map[string]string{
		"helm": "", "mirror": "",
		"kubectl": `case "$*" in
*"delete links"*|*" delete -f -"*|*"delete -f manifests"*) exit 1 ;;
*"get links"*) [ "$2" != west ] || echo link.multicluster.linkerd.io/east ;;
*"get namespace/"*) exit 1 ;;
esac`,
	} {
		text := "#!/bin/sh\necho " + name + ` "$*" >> ` + said + "\n" + program + "\n"
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	for name, script := range map[string]string{"helm": uninstallScript, "GitOps": takeAwayScript, "command": uninstallByCommandScript} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("bash", "-c", script)
			cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
			if out, err := cmd.CombinedOutput(); err == nil {
				t.Errorf("the failure is not told:\n%s", out)
			}
			text, err := os.ReadFile(said)
			if err != nil {
				t.Fatal(err)
			}
			expectBounded(t, string(text))
			free := strings.Index(string(text), "kubectl --context west -n linkerd-multicluster patch link.multicluster.linkerd.io/east --type=merge --patch={\"metadata\":{\"finalizers\":null}}")
			if last := strings.LastIndex(string(text), "delete crd"); free < 0 || free > last && last >= 0 {
				t.Errorf("the stuck Link keeps its finalizer:\n%s", text)
			}
			if err := os.Remove(said); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// expectBounded wants a limit on each command that waits.
func expectBounded(t *testing.T, commands string) {
	t.Helper()
	for line := range strings.Lines(commands) {
		waits := strings.Contains(line, " delete ") || strings.Contains(line, " wait ") || strings.HasPrefix(line, "helm uninstall")
		if waits && !strings.Contains(line, "--timeout") {
			t.Errorf("it may wait for ever: %s", line)
		}
	}
}

// KEEP=1 leaves clusters up with what a scenario installed, so those that take it away, as a part of what they show, are left out.
func TestWhatTakesAwayIsLeftOutOfKeep(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for test := range strings.SplitSeq(string(text), "\nfunc ") {
			name, body, _ := strings.Cut(test, "(")
			if !strings.HasPrefix(name, "Test") || name == t.Name() || !strings.Contains(body, "w.expectNothingLeft(") {
				continue
			}
			found++
			if !strings.Contains(body, "\ttakesAway(t)\n") {
				t.Errorf("%s takes away what it installs, with KEEP as well", name)
			}
		}
	}
	if found == 0 {
		t.Error("no test takes anything away: what is looked for here has another name now")
	}
}
