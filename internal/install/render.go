package install

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/charts"
)

const (
	// releaseName is a part of the labels by which Deployments find their pods: it can never change.
	releaseName = "linkspan"
	// ManagedBy is where Helm would put its own name: the value of label app.kubernetes.io/managed-by.
	ManagedBy = "linkspan-cli"
	// PartOf is the value of label app.kubernetes.io/part-of.
	PartOf = "linkspan"

	labelManagedBy = "app.kubernetes.io/managed-by"
	labelPartOf    = "app.kubernetes.io/part-of"
	notesFile      = "NOTES.txt"
)

// Rendered is an installation as objects.
type Rendered struct {
	// Objects are in the order in which they can be applied.
	Objects []*unstructured.Unstructured
	// Notes tell the reader what was chosen, and what is left to do.
	Notes string
}

// Render renders everything that settings ask for. It fails when values are refused, by the schema or
// by a template, with a message that names the value.
func Render(s Settings, namespace string) (Rendered, error) {
	var out Rendered
	if err := s.checkNamespace(namespace); err != nil {
		return out, err
	}
	if s.CRDs {
		crds, err := RenderCRDs(s.Version, namespace)
		if err != nil {
			return out, err
		}
		out.Objects = crds
	}
	values := s.Values
	if s.HA {
		ha, err := haValues()
		if err != nil {
			return out, err
		}
		values = loader.MergeMaps(ha, values)
	}
	objects, notes, err := renderChart(charts.Linkspan, s.Version, namespace, values)
	if err != nil {
		return out, err
	}
	own, err := s.own(namespace)
	if err != nil {
		return out, err
	}
	for _, obj := range append(objects, own...) {
		labels := obj.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[v1alpha3.LabelInstallation] = namespace
		obj.SetLabels(labels)
		out.Objects = append(out.Objects, obj)
	}
	order(out.Objects)
	out.Notes = notes
	return out, nil
}

// RenderCRDs renders the types alone. They carry no label of an installation, for they are the cluster's.
func RenderCRDs(version, namespace string) ([]*unstructured.Unstructured, error) {
	objects, _, err := renderChart(charts.CRDs, version, namespace, nil)
	return objects, err
}

// DefaultValues is the text of the main chart's values.yaml, where each value has its comment (INST-9).
func DefaultValues() ([]byte, error) {
	files, err := charts.Files(charts.Linkspan)
	if err != nil {
		return nil, err
	}
	return fs.ReadFile(files, "values.yaml")
}

func haValues() (map[string]any, error) {
	files, err := charts.Files(charts.Linkspan)
	if err != nil {
		return nil, err
	}
	text, err := fs.ReadFile(files, "values-ha.yaml")
	if err != nil {
		return nil, err
	}
	return loader.LoadValues(bytes.NewReader(text))
}

// own are the objects that a chart does not have: Helm makes the namespace, and remembers values, itself.
func (s Settings) own(namespace string) ([]*unstructured.Unstructured, error) {
	record, err := s.record(namespace)
	if err != nil {
		return nil, err
	}
	typed := []runtime.Object{record}
	if s.CreateNamespace {
		labels := ownLabels(s.Version)
		labels["linkerd.io/extension"] = "linkspan"
		typed = append(typed, &corev1.Namespace{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: labels, Annotations: map[string]string{
				"linkerd.io/inject":             "enabled",
				"config.linkerd.io/proxy-await": "enabled",
			}},
		})
	}
	var objects []*unstructured.Unstructured
	for _, obj := range typed {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
		if err != nil {
			return nil, fmt.Errorf("converting a %T: %w", obj, err)
		}
		delete(fields, "status")
		delete(fields, "spec") // of the Namespace, and empty
		objects = append(objects, &unstructured.Unstructured{Object: fields})
	}
	return objects, nil
}

// ownLabels are those that the charts give to their objects.
func ownLabels(version string) map[string]string {
	return map[string]string{
		"app.kubernetes.io/name":     releaseName,
		"app.kubernetes.io/instance": releaseName,
		"app.kubernetes.io/version":  labelValue(version),
		labelPartOf:                  PartOf,
		labelManagedBy:               ManagedBy,
	}
}

// labelValue makes a version fit into a label, as the charts do.
func labelValue(version string) string {
	version = strings.ReplaceAll(version, "+", "_")
	return strings.Trim(version[:min(len(version), 63)], "-_.")
}

// renderChart renders a chart as it would be packaged for a version.
func renderChart(name, version, namespace string, given map[string]any) ([]*unstructured.Unstructured, string, error) {
	c, err := load(name)
	if err != nil {
		return nil, "", err
	}
	c.Metadata.AppVersion = version
	if isRelease(version) {
		c.Metadata.Version = strings.TrimPrefix(version, "v")
	}
	own, err := copied(given) // Helm writes into what it merges
	if err != nil {
		return nil, "", err
	}
	top, err := util.ToRenderValues(c, own, common.ReleaseOptions{Name: releaseName, Namespace: namespace, Revision: 1, IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		return nil, "", fmt.Errorf("the values are refused (mirror install --show-values explains each): %w", err)
	}
	if release, ok := top["Release"].(map[string]any); ok {
		release["Service"] = ManagedBy
	}
	if name == charts.Linkspan {
		if err := checkImages(version, top); err != nil {
			return nil, "", err
		}
	}
	files, err := engine.Render(c, top)
	if err != nil {
		return nil, "", fmt.Errorf("rendering chart %s: %w", name, err)
	}
	return objectsOf(name, files)
}

func load(name string) (*chart.Chart, error) {
	files, err := charts.Files(name)
	if err != nil {
		return nil, err
	}
	var all []*archive.BufferedFile
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		all = append(all, &archive.BufferedFile{Name: name, Data: text})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading chart %s: %w", name, err)
	}
	c, err := loader.LoadFiles(all)
	if err != nil {
		return nil, fmt.Errorf("reading chart %s: %w", name, err)
	}
	return c, nil
}

// objectsOf takes rendered files apart, and finds the notes among them.
func objectsOf(chart string, files map[string]string) (objects []*unstructured.Unstructured, notes string, err error) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Base(name) == notesFile {
			notes = strings.TrimSpace(files[name])
			continue
		}
		documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(files[name])))
		for {
			text, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, "", fmt.Errorf("chart %s, %s: %w", chart, name, err)
			}
			obj, err := parseObject(text)
			if err != nil {
				return nil, "", fmt.Errorf("chart %s, %s: %w", chart, name, err)
			}
			if obj != nil {
				objects = append(objects, obj)
			}
		}
	}
	return objects, notes, nil
}

// parseObject reads one document; one without content is nil.
func parseObject(text []byte) (*unstructured.Unstructured, error) {
	text, err := yaml.YAMLToJSONStrict(text)
	if err != nil || string(text) == "null" {
		return nil, err
	}
	obj := &unstructured.Unstructured{}
	return obj, obj.UnmarshalJSON(text)
}

func copied(values map[string]any) (map[string]any, error) {
	text, err := yaml.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("copying the values: %w", err)
	}
	own := map[string]any{}
	return own, yaml.Unmarshal(text, &own)
}
