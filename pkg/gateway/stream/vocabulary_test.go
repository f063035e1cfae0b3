package stream_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
)

// A reason that some package of the gateway has, and Reasons does not, would be counted as "other": so
// every constant whose name begins with Reason is looked up.
func TestReasonsOfAllPackagesAreKnown(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d files: %v", len(files), err)
	}
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for name, value := range reasonsIn(t, file) {
			found++
			if !slices.Contains(stream.Reasons(), value) {
				t.Errorf("%s in %s is %q, which is not among Reasons", name, file, value)
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d reasons were found: the test looks in the wrong place", found)
	}
}

// reasonsIn gives the string constants of a file whose names begin with Reason.
func reasonsIn(t *testing.T, file string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			if !strings.HasPrefix(name.Name, "Reason") || i >= len(spec.Values) {
				continue
			}
			if lit, ok := spec.Values[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if found[name.Name], err = strconv.Unquote(lit.Value); err != nil {
					t.Fatal(err)
				}
			}
		}
		return true
	})
	return found
}

func TestCodesOfRefusalsAreKnown(t *testing.T) {
	t.Parallel()
	for code := range tunnel.Code(32) {
		if !slices.Contains(stream.Reasons(), code.String()) {
			t.Errorf("the code %d is %q, which is not among Reasons", code, code)
		}
	}
}

// The words for how a stream is carried are those of the package that carries it.
func TestViasAreThoseOfTheTunnel(t *testing.T) {
	t.Parallel()
	if stream.ViaTLS != tunnel.ViaTLS || stream.ViaLane != tunnel.ViaLane || stream.ViaMux != tunnel.ViaMux {
		t.Error("they differ")
	}
}
