package test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// defaultsFile is what templates take for values that are missing.
const defaultsFile = mainChart + "/templates/_defaults.tpl"

const defaultsHead = `{{/*
Written by go test -update in charts/test, from values.yaml.

helm upgrade --reuse-values gives new templates the values of the release before, so what is new is missing; and a value
that a user sets to null is missing, too. Every template begins with linkspan.complete, which puts the default in its
place. Maps with keys of the user's own, and lists of more than numbers and names, stay missing: nothing is meant by
them that a user did not write.
*/}}

{{- define "linkspan.complete" -}}
{{- include "linkspan.fill" (dict "into" .Values "from" (include "linkspan.defaults" . | fromYaml)) -}}
{{- end }}

{{- define "linkspan.fill" -}}
{{- $into := .into -}}
{{- range $key, $value := .from -}}
{{- if not (hasKey $into $key) -}}
{{- $_ := set $into $key $value -}}
{{- else if and (kindIs "map" $value) (kindIs "map" (get $into $key)) -}}
{{- include "linkspan.fill" (dict "into" (get $into $key) "from" $value) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "linkspan.defaults" -}}
`

// defaults are those that linkspan.complete knows: groups, and of values what is neither null, nor a map, nor a list of maps.
func defaults(t *testing.T) values {
	t.Helper()
	all := values{}
	for _, e := range entries(t, mainChart) {
		value := e.Default
		switch is := value.(type) {
		case nil:
			continue
		case map[string]any:
			if !e.Group {
				continue
			}
			value = map[string]any{}
		case []any:
			if len(is) == 0 {
				continue
			}
			if _, ok := is[0].(map[string]any); ok {
				continue
			}
		}
		above := all
		if parents := e.Path[:len(e.Path)-1]; len(parents) > 0 {
			above, _ = at(all, parents).(map[string]any)
		}
		above[e.Path[len(e.Path)-1]] = value
	}
	return all
}

// TestDefaults wants the templates to know the defaults of values.yaml, and each of them to begin with using them.
func TestDefaults(t *testing.T) {
	text, err := yaml.Marshal(defaults(t))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, defaultsFile, defaultsHead+string(text)+"{{- end }}\n")
	files, err := filepath.Glob(mainChart + "/templates/[^_]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasPrefix(readFile(t, file), `{{- include "linkspan.complete" . -}}`) {
			t.Errorf("%s does not begin with linkspan.complete", file)
		}
	}
}

// TestMissingValues takes each value away alone: what is rendered is what the default gives (UPG-3). Where a value has no
// default that could be meant, or a whole group is missing with what must be given in it, the chart says what to set.
func TestMissingValues(t *testing.T) {
	c, known := load(t, mainChart), defaults(t)
	for _, example := range []string{"ha", "everything", "closed"} {
		base := readValues(t, "testdata/"+example+".values.yaml")
		unchanged, err := render(c, base)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries(t, mainChart) {
			got, err := render(c, base, only(e.Path, nil))
			if err != nil && !strings.Contains(err.Error(), "execution error at") {
				t.Errorf("%s without %s: %v", example, e, err)
			}
			value := at(known, e.Path)
			if value == nil || e.Group {
				continue
			}
			want, refused := unchanged, error(nil)
			if at(base, e.Path) != nil {
				want, refused = render(c, base, only(e.Path, value))
			}
			if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (refused == nil) {
				t.Errorf("%s without %s, error %v (-with the default %v +without):\n%s", example, e, err, value, diff)
			}
		}
	}
}

// TestReuseValues renders with the values of an older release in place of the chart's own, as helm upgrade
// --reuse-values does: the same must come out as when they are given beside today's (UPG-3).
func TestReuseValues(t *testing.T) {
	old := load(t, mainChart)
	old.Values = readValues(t, "testdata/values-first.yaml")
	first := readValues(t, "testdata/values-first.yaml")
	for name, given := range map[string]values{
		"both halves": readValues(t, "testdata/ha.values.yaml"),
		"egress":      readValues(t, "testdata/source.values.yaml"),
		"ingress":     readValues(t, "testdata/target.values.yaml"),
		"pod to pod":  readValues(t, "testdata/pod-to-pod.values.yaml"),
		"proxy":       parse(t, "gateway: {mode: proxy, ingress: {allowedClients: ['*']}, egress: {enabled: false}}"),
		"policies": parse(t, `
gateway: {mode: proxy, egress: {enabled: false}}
policy: {linkerd: {enabled: true}, network: {enabled: true, apiServer: {networks: [192.0.2.1/32]}, remoteAPIServers: {networks: [192.0.2.1/32]}, gateways: {networks: [192.0.2.1/32]}, dns: {peers: [{namespaceSelector: {}}]}, workloads: [{namespaceSelector: {}}]}}
monitoring: {prometheusRule: {enabled: true}, dashboard: {enabled: true, labels: {grafana_dashboard: "1"}}, podMonitor: {enabled: true}}`),
	} {
		t.Run(name, func(t *testing.T) {
			want, err := render(load(t, mainChart), first, given)
			if err != nil {
				t.Fatal(err)
			}
			got, err := render(old, given)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-beside today's values +in their place:\n%s", diff)
			}
		})
	}
}
