package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func kindsOf(objects []*unstructured.Unstructured) map[string]int {
	kinds := map[string]int{}
	for _, obj := range objects {
		kinds[obj.GetKind()]++
	}
	return kinds
}

// LINK-9, INST-16: install prints manifests and asks no cluster: there is none at this kubeconfig.
func TestInstallPrintsManifests(t *testing.T) {
	got := runMirror(t, "install", "--kubeconfig", "/no/such/file", "--gateway", "false")
	if got.code != 0 || !strings.Contains(got.err, "Once it is applied:") {
		t.Fatalf("%+v", got)
	}
	objects := manifests(t, got.out)
	kinds := kindsOf(objects)
	if objects[0].GetKind() != "Namespace" || kinds["CustomResourceDefinition"] != 1 || kinds["Deployment"] != 1 {
		t.Errorf("INST-2, INST-3: kinds %v", kinds)
	}
	for _, obj := range objects {
		if obj.GetLabels()["app.kubernetes.io/managed-by"] == "Helm" || obj.GetAnnotations()["meta.helm.sh/release-name"] != "" {
			t.Errorf("%s %s says that Helm owns it", obj.GetKind(), obj.GetName())
		}
		if obj.GetLabels()["linkerd.io/control-plane-ns"] != "" {
			t.Errorf("UPG-5: %s %s would be pruned by an upgrade of Linkerd", obj.GetKind(), obj.GetName())
		}
	}
	// INST-3: all spellings, and the value itself.
	for _, spelling := range []string{"--gateway=false", "--set=gateway.enabled=false", "--set-string=controller.logLevel=info --gateway false"} {
		args := append([]string{"install"}, strings.Fields(spelling)...)
		if other := runMirror(t, args...); other.code != 0 || kindsOf(manifests(t, other.out))["Deployment"] != 1 {
			t.Errorf("%s: %+v", spelling, other)
		}
	}
	// GIT-4: the same bytes each time.
	if again := runMirror(t, "install", "--gateway", "false"); again.out != got.out {
		t.Error("the output differs from one time to the next")
	}
}

func TestInstallParts(t *testing.T) {
	base := []string{"install", "--gateway", "false"}
	whole := kindsOf(manifests(t, runMirror(t, base...).out))
	for name, c := range map[string]struct {
		args []string
		gone string
	}{
		"without the type":      {[]string{"--skip-crds"}, "CustomResourceDefinition"},
		"without the namespace": {[]string{"--create-namespace", "false"}, "Namespace"},
	} {
		got := runMirror(t, append(base, c.args...)...)
		kinds := kindsOf(manifests(t, got.out))
		if got.code != 0 || kinds[c.gone] != 0 || len(kinds) != len(whole)-1 {
			t.Errorf("%s: %v, in whole %v", name, kinds, whole)
		}
	}
	if got := runMirror(t, "install", "--crds"); len(kindsOf(manifests(t, got.out))) != 1 || got.err != "" {
		t.Errorf("INST-4: --crds prints types alone: %v %s", kindsOf(manifests(t, got.out)), got.err)
	}
	if got := runMirror(t, "install", "--show-values"); got.code != 0 || !strings.Contains(got.out, "# Install the gateway") {
		t.Errorf("INST-9: --show-values: %+v", got)
	}
	if got := runMirror(t, append(base, "--set", "links[0].name=east")...); kindsOf(manifests(t, got.out))["Link"] != 1 || !strings.Contains(got.err, "mirror install --crds first") {
		t.Errorf("nothing is said of a Link before its type: %s", got.err)
	}
	decoder := json.NewDecoder(bytes.NewBufferString(runMirror(t, append(base, "-o", "json")...).out))
	var objects []*unstructured.Unstructured
	for {
		obj := &unstructured.Unstructured{}
		if err := decoder.Decode(&obj.Object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, obj)
	}
	if kinds := kindsOf(objects); len(kinds) != len(whole) {
		t.Errorf("-o json: %v, as YAML %v", kinds, whole)
	}
}

// INST-9: refusals name the value or the flag, and print nothing that could be applied.
func TestInstallRefuses(t *testing.T) {
	for want, args := range map[string]string{
		"'controler' not allowed":                      "--gateway false --set controler.enabled=false",
		"/controller/replicas":                         "--gateway false --set controller.replicas=three",
		"gateway.ingress.certificate.secretName":       "",
		`--set "controller"`:                           "--set controller",
		"--values: open no-such-file.yaml":             "-f no-such-file.yaml",
		"--crds and --skip-crds":                       "--crds --skip-crds",
		`--namespace "Not-A-Name"`:                     "--gateway false --namespace Not-A-Name",
		`--output "text" must be yaml or json`:         "--gateway false -o text",
		"--values: standard input can be read on":      "--gateway false -f - -f -",
		"--namespace default is the cluster's own":     "--gateway false --namespace default",
		"--namespace kube-system is the cluster's own": "--gateway false --namespace kube-system",
	} {
		got := runMirror(t, append([]string{"install"}, strings.Fields(args)...)...)
		if got.code == 0 || got.out != "" || !strings.Contains(got.err, want) {
			t.Errorf("install %s: %+v\nwant %q", args, got, want)
		}
	}
	if got := runMirror(t, "install", "--gateway", "false", "--namespace", "kube-system", "--create-namespace=false"); got.code != 0 {
		t.Errorf("into a namespace of the cluster, left as it is: %+v", got)
	}
}

// The program of the image says where the commands are that need the charts.
func TestTheImageInstallsNothing(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"install", "upgrade", "prune"} {
		var out, errs bytes.Buffer
		code := Main(t.Context(), Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, Program{Version: "v0.1.2"}, []string{command, "--namespace=links"})
		if code != 1 || out.Len() > 0 || !strings.Contains(errs.String(), "run mirror "+command+" with the program of version v0.1.2") {
			t.Errorf("%s: code %d, output %q, error %q", command, code, out.String(), errs.String())
		}
	}
}
