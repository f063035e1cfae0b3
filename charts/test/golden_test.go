package test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files again")

// TestExamples renders the chart for the kinds of clusters that there are (INST-1, INST-7).
func TestExamples(t *testing.T) {
	for _, path := range examples(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".values.yaml"), func(t *testing.T) {
			given := []values{readValues(t, path)}
			if strings.Contains(path, "/ha.") {
				given = append([]values{readValues(t, mainChart+"/values-ha.yaml")}, given...)
			}
			files, err := render(load(t, mainChart), given...)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			for _, m := range manifests(t, files) {
				fmt.Fprintf(&got, "---\n# %s\n%s\n", m.file, bytes.TrimPrefix(m.text, []byte("---\n")))
			}
			fmt.Fprintf(&got, "---\n# %s\n", notesFile)
			for line := range strings.Lines(strings.TrimSpace(files[notesFile])) {
				got.WriteString(strings.TrimRight("# "+strings.TrimSuffix(line, "\n"), " ") + "\n")
			}
			golden := strings.TrimSuffix(path, ".values.yaml") + ".golden.yaml"
			compare(t, golden, got.String())
		})
	}
}

// compare compares with a file, or writes it with -update.
func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test -update writes it", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what is rendered; look at the difference, then write it with go test -update:\n%s", path, diff)
	}
}
