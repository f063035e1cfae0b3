// Package reference reads the values of a chart with the comments that explain them, and writes the table of its
// README.md.
//
// It must never know what a value means.
package reference

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Entry is a value of a chart, or a group of values.
type Entry struct {
	Path []string
	// Comment explains it, in one line. Empty for a group that needs none.
	Comment string
	// Default is what it is when nobody sets it.
	Default any
	// Group is for a mapping whose values are explained one by one.
	Group bool
}

// String is the entry's name, as --set takes it.
func (e Entry) String() string { return strings.Join(e.Path, ".") }

// Read gives the entries of a values.yaml, in its order. A value without a comment is an error.
func Read(text []byte) ([]Entry, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	return read(document.Content[0], nil)
}

func read(mapping *yaml.Node, above []string) ([]Entry, error) {
	var all []Entry
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		e := Entry{Path: append(append([]string(nil), above...), key.Value), Comment: comment(key), Group: grouped(value)}
		if err := value.Decode(&e.Default); err != nil {
			return nil, fmt.Errorf("%s: %w", e, err)
		}
		if e.Comment == "" && !e.Group {
			return nil, fmt.Errorf("%s has no comment in values.yaml", e)
		}
		all = append(all, e)
		if !e.Group {
			continue
		}
		inner, err := read(value, e.Path)
		if err != nil {
			return nil, err
		}
		all = append(all, inner...)
	}
	return all, nil
}

// grouped says whether a value is made of values with comments of their own, directly or further inside.
func grouped(value *yaml.Node) bool {
	if value.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i+1 < len(value.Content); i += 2 {
		if comment(value.Content[i]) != "" || grouped(value.Content[i+1]) {
			return true
		}
	}
	return false
}

// comment is the last paragraph of what stands above a key: what is further above is about the file.
func comment(key *yaml.Node) string {
	paragraphs := strings.Split(key.HeadComment, "\n\n")
	var words []string
	for line := range strings.Lines(paragraphs[len(paragraphs)-1]) {
		words = append(words, strings.TrimSpace(strings.TrimPrefix(line, "#")))
	}
	return strings.Join(words, " ")
}

// Table explains entries as a table of Markdown.
func Table(entries []Entry) (string, error) {
	var out strings.Builder
	out.WriteString("| Value | Default | Meaning |\n| --- | --- | --- |\n")
	for _, e := range entries {
		if e.Group {
			if e.Comment != "" {
				fmt.Fprintf(&out, "| **`%s`** | | %s |\n", e, escape(e.Comment))
			}
			continue
		}
		text, err := json.Marshal(e.Default)
		if err != nil {
			return "", fmt.Errorf("%s: %w", e, err)
		}
		fmt.Fprintf(&out, "| `%s` | `%s` | %s |\n", e, escape(string(text)), escape(e.Comment))
	}
	return out.String(), nil
}

func escape(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
