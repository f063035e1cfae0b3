package render_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/internal/install"
	"github.com/linkspan/linkspan/internal/install/render"
)

// INST-1: values have the precedence and the syntax that Helm gives them; flags that are short for a
// value lie between files and --set.
func TestSources(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	first, second := write("first.yaml", "a: {x: 1, q: 1}\n"), write("second.yaml", "a: {q: 2}\nb: {open: true}\n")
	list := write("list.yaml", "- a\n")
	pem := write("anchors.pem", "-----BEGIN, a=b\n")
	for name, c := range map[string]struct {
		sources install.Sources
		base    map[string]any
		want    map[string]any
		refused string
	}{
		"nothing":         {want: map[string]any{}},
		"last file wins":  {sources: install.Sources{Files: []string{first, second}}, want: map[string]any{"a": map[string]any{"x": 1., "q": 2.}, "b": map[string]any{"open": true}}},
		"files over base": {sources: install.Sources{Files: []string{first}}, base: map[string]any{"a": map[string]any{"x": 0., "z": 0.}}, want: map[string]any{"a": map[string]any{"x": 1., "q": 1., "z": 0.}}},
		"flag over file":  {sources: install.Sources{Files: []string{second}, Preset: map[string]any{"b": map[string]any{"open": false}}}, want: map[string]any{"a": map[string]any{"q": 2.}, "b": map[string]any{"open": false}}},
		"set over flag":   {sources: install.Sources{Preset: map[string]any{"b": map[string]any{"open": false}}, Set: []string{"b.open=true,c={x,y}"}}, want: map[string]any{"b": map[string]any{"open": true}, "c": []any{"x", "y"}}},
		"text":            {sources: install.Sources{Set: []string{"a=1"}, SetString: []string{"b=1"}}, want: map[string]any{"a": int64(1), "b": "1"}},
		"set over base":   {sources: install.Sources{Set: []string{"a.x=1"}}, base: map[string]any{"a": map[string]any{"x": 0., "z": 0.}}, want: map[string]any{"a": map[string]any{"x": int64(1), "z": 0.}}},
		"null":            {sources: install.Sources{Set: []string{"a=null"}}, want: map[string]any{"a": nil}},
		"standard input":  {sources: install.Sources{Files: []string{"-"}}, want: map[string]any{"in": true}},
		"content":         {sources: install.Sources{SetFile: []string{"a.pem=" + pem}}, want: map[string]any{"a": map[string]any{"pem": "-----BEGIN, a=b\n"}}},
		"input twice":     {sources: install.Sources{Files: []string{"-", "-"}}, refused: "--values: standard input can be read once"},
		"no such file":    {sources: install.Sources{Files: []string{"no-such-file.yaml"}}, refused: "--values: open no-such-file.yaml"},
		"no such content": {sources: install.Sources{SetFile: []string{"a=no-such-file.pem"}}, refused: "--set-file \"a=no-such-file.pem\""},
		"no map":          {sources: install.Sources{Files: []string{list}}, refused: "list.yaml is not a YAML map of values"},
		"no value":        {sources: install.Sources{Set: []string{"a"}}, refused: "--set \"a\""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := fmt.Sprint(c.base)
			got, err := render.Charts{}.Values(c.sources, c.base, strings.NewReader("in: true"))
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("%v, want %q", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if after := fmt.Sprint(c.base); after != before {
				t.Errorf("the values below were changed from %s to %s", before, after)
			}
		})
	}
}
