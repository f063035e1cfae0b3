package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/strvals"

	"github.com/linkspan/linkspan/internal/install"
)

// Values merges sources into base, which it does not change.
func (Charts) Values(s install.Sources, base map[string]any, stdin io.Reader) (map[string]any, error) {
	values, err := copied(base) // Helm writes into what it merges
	if err != nil {
		return nil, err
	}
	for _, path := range s.Files {
		text, err := readFile(path, stdin)
		if err != nil {
			return nil, fmt.Errorf("--values: %w", err)
		}
		if path == "-" {
			stdin = nil // there is no second time
		}
		given, err := loader.LoadValues(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("--values %s is not a YAML map of values: %w", path, err)
		}
		values = loader.MergeMaps(values, given)
	}
	values = loader.MergeMaps(values, s.Preset)
	fromFile := func(path []rune) (any, error) {
		text, err := os.ReadFile(string(path))
		return string(text), err
	}
	for _, flag := range []struct {
		name  string
		given []string
		into  func(string, map[string]any) error
	}{
		{"--set", s.Set, strvals.ParseInto},
		{"--set-string", s.SetString, strvals.ParseIntoString},
		{"--set-file", s.SetFile, func(value string, into map[string]any) error { return strvals.ParseIntoFile(value, into, fromFile) }},
	} {
		for _, value := range flag.given {
			if err := flag.into(value, values); err != nil {
				return nil, fmt.Errorf("%s %q: %w; write it as path.of.the.value=value", flag.name, value, err)
			}
		}
	}
	return values, nil
}

func readFile(path string, stdin io.Reader) ([]byte, error) {
	if path != "-" {
		return os.ReadFile(path)
	}
	if stdin == nil {
		return nil, errors.New("standard input can be read once: name - once")
	}
	text, err := io.ReadAll(stdin)
	if err != nil {
		return nil, fmt.Errorf("reading standard input: %w", err)
	}
	return text, nil
}
