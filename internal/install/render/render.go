package render

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
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/charts"
	"github.com/linkspan/linkspan/internal/install"
)

// Charts are those inside the program.
type Charts struct{}

// Render renders everything that settings ask for. It fails when values are refused, by the schema or
// by a template, with a message that names the value.
func (c Charts) Render(s install.Settings, namespace string) (install.Rendered, error) {
	var out install.Rendered
	if err := s.CheckNamespace(namespace); err != nil {
		return out, err
	}
	if s.CRDs {
		crds, err := c.RenderCRDs(s.Version, namespace)
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
	own, err := s.Own(namespace)
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
	install.Order(out.Objects)
	out.Notes = notes
	return out, nil
}

// RenderCRDs renders the types alone. They carry no label of an installation, for they are the cluster's.
func (Charts) RenderCRDs(version, namespace string) ([]*unstructured.Unstructured, error) {
	objects, _, err := renderChart(charts.CRDs, version, namespace, nil)
	return objects, err
}

// DefaultValues is the text of the main chart's values.yaml, where each value has its comment (INST-9).
func (Charts) DefaultValues() ([]byte, error) {
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

const notesFile = "NOTES.txt"

// renderChart renders a chart as it would be packaged for a version.
func renderChart(name, version, namespace string, given map[string]any) ([]*unstructured.Unstructured, string, error) {
	c, err := load(name)
	if err != nil {
		return nil, "", err
	}
	c.Metadata.AppVersion = version
	if install.IsRelease(version) {
		c.Metadata.Version = strings.TrimPrefix(version, "v")
	}
	own, err := copied(given) // Helm writes into what it merges
	if err != nil {
		return nil, "", err
	}
	top, err := util.ToRenderValues(c, own, common.ReleaseOptions{Name: install.ReleaseName, Namespace: namespace, Revision: 1, IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		return nil, "", fmt.Errorf("the values are refused (mirror install --show-values explains each): %w", err)
	}
	if release, ok := top["Release"].(map[string]any); ok {
		release["Service"] = install.ManagedBy
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

// checkImages refuses to render images that nobody has published.
func checkImages(version string, top common.Values) error {
	if install.IsRelease(version) {
		return nil
	}
	values, err := top.Table("Values")
	if err != nil {
		return fmt.Errorf("reading the values: %w", err)
	}
	given := func(path string) bool {
		value, err := values.PathValue(path)
		return err == nil && value != ""
	}
	if given("image.tag") || given("image.digests.mirror") && given("image.digests.gateway") {
		return nil
	}
	return fmt.Errorf("this program is a development build (%s), whose images are not published: set image.registry and image.tag to images of yours (make images builds them), "+
		"or use a released program", version)
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
