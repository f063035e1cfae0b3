package reference

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table again")

// heading is what the generated part of a chart's README.md begins with.
const heading = "## Values\n\n"

// TestReadmeIsCurrent compares the README of the chart with its values (INST-9, DOC-*).
func TestReadmeIsCurrent(t *testing.T) {
	const chart = "../../linkspan/"
	text, err := os.ReadFile(chart + "values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := Read(text)
	if err != nil {
		t.Fatal(err)
	}
	table, err := Table(entries)
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(chart + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	written, _, found := strings.Cut(string(readme), heading)
	if !found {
		t.Fatalf("README.md has no heading %q, after which the table would come", heading)
	}
	want := written + heading + "Generated from `values.yaml` by `make generate`.\n\n" + table
	if string(readme) == want {
		return
	}
	if !*update {
		t.Fatal("README.md does not say what values.yaml says: run make generate")
	}
	if err := os.WriteFile(chart+"README.md", []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRead(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"explained":        {"# What it is\na: 1\n", "| `a` | `1` | What it is |"},
		"of two lines":     {"# What it\n# is\na: [x]\n", "| `a` | `[\"x\"]` | What it is |"},
		"about the file":   {"# All of it.\n\n# What it is\na: {}\n", "| `a` | `{}` | What it is |"},
		"a group":          {"# Some\na:\n  # One\n  b: \"\"\n", "| **`a`** | | Some |\n| `a.b` | `\"\"` | One |"},
		"a group unnamed":  {"a:\n  # One\n  b: x|y\n", "| `a.b` | `\"x\\|y\"` | One |"},
		"explained as one": {"# A map\na:\n  b: {c: 1}\n", "| `a` | `{\"b\":{\"c\":1}}` | A map |"},
		"unexplained":      {"a:\n  # One\n  b: 1\n  c: 2\n", "a.c has no comment in values.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			entries, err := Read([]byte(c.text))
			if err != nil {
				if err.Error() != c.want {
					t.Errorf("got %v, want %q", err, c.want)
				}
				return
			}
			table, err := Table(entries)
			if err != nil {
				t.Fatal(err)
			}
			_, got, _ := strings.Cut(table, "| --- | --- | --- |\n")
			if strings.TrimSuffix(got, "\n") != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
