package test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/charts/test/reference"
)

const (
	mainChart = "../linkspan"
	crdsChart = "../linkspan-crds"
	namespace = "linkerd-multicluster"
	notesFile = "NOTES.txt"
)

// values are what a user gives: nested maps, as YAML has them.
type values = map[string]any

// parse reads values written in a test.
func parse(t *testing.T, text string) values {
	t.Helper()
	v := values{}
	if err := yaml.UnmarshalStrict([]byte(text), &v); err != nil {
		t.Fatalf("values of the test: %v\n%s", err, text)
	}
	return v
}

// readValues reads a file of values, such as those beside a golden file.
func readValues(t *testing.T, path string) values {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}

// load reads a chart.
func load(t *testing.T, dir string) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render renders a chart as `helm template` does, by file. Values given later win.
func render(c *chart.Chart, given ...values) (map[string]string, error) {
	return renderIn(namespace, c, given...)
}

func renderIn(namespace string, c *chart.Chart, given ...values) (map[string]string, error) {
	merged := values{}
	for _, v := range slices.Backward(given) {
		own, err := copied(v) // Helm writes into what it merges
		if err != nil {
			return nil, err
		}
		util.CoalesceTables(merged, own)
	}
	top, err := util.ToRenderValues(c, merged, common.ReleaseOptions{Name: "linkspan", Namespace: namespace, Revision: 1, IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		return nil, fmt.Errorf("values: %w", err)
	}
	files, err := engine.Render(c, top)
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	byName := map[string]string{}
	for path, text := range files {
		byName[strings.TrimPrefix(path, c.Name()+"/templates/")] = text
	}
	return byName, nil
}

func copied(v values) (values, error) {
	text, err := yaml.Marshal(v)
	if err != nil {
		return nil, err
	}
	own := values{}
	return own, yaml.Unmarshal(text, &own)
}

// manifests are all objects that files hold, with the text of each, in the order of the files.
func manifests(t *testing.T, files map[string]string) []manifest {
	t.Helper()
	var all []manifest
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name == notesFile || strings.HasPrefix(name, "_") {
			continue
		}
		documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(files[name])))
		for {
			text, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var object map[string]any
			if err := yaml.UnmarshalStrict(text, &object); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, text)
			}
			if len(object) > 0 {
				all = append(all, manifest{file: name, text: bytes.TrimSpace(text), Unstructured: unstructured.Unstructured{Object: object}})
			}
		}
	}
	return all
}

type manifest struct {
	unstructured.Unstructured
	file string
	text []byte
}

// rendered renders the chart with values that must work.
func rendered(t *testing.T, given ...values) []manifest {
	t.Helper()
	files, err := render(load(t, mainChart), given...)
	if err != nil {
		t.Fatal(err)
	}
	return manifests(t, files)
}

// find gives the one object of a kind and name.
func find(t *testing.T, all []manifest, kind, name string) manifest {
	t.Helper()
	for _, m := range all {
		if m.GetKind() == kind && m.GetName() == name {
			return m
		}
	}
	t.Fatalf("no %s %s is rendered", kind, name)
	return manifest{}
}

// into reads an object as its type, which must know every field.
func into[T any](t *testing.T, m manifest) *T {
	t.Helper()
	typed := new(T)
	if err := yaml.UnmarshalStrict(m.text, typed); err != nil {
		t.Fatalf("%s %s: %v", m.GetKind(), m.GetName(), err)
	}
	return typed
}

// entries are the values of a chart.
func entries(t *testing.T, dir string) []reference.Entry {
	t.Helper()
	all, err := reference.Read([]byte(readFile(t, dir+"/values.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// examples are the files of values that golden files exist for.
func examples(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("testdata/*.values.yaml")
	if err != nil || len(found) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	return found
}
