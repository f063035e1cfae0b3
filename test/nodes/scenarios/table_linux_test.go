package scenarios

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"text/tabwriter"
)

// envPart chooses a part of the scenarios.
const envPart = "LINKSPAN_E2E"

// partCore is the part that continuous integration has the time for.
const partCore = "core"

// onlyCore says whether what is beyond the core is left out.
func onlyCore() bool { return os.Getenv(envPart) == partCore }

// beyondCore skips a test where only the core is wanted.
func beyondCore(t *testing.T) {
	t.Helper()
	if onlyCore() {
		t.Skipf("not a part of the core, which is all that %s=%s runs", envPart, partCore)
	}
}

// table is what the tests of a run measured. The zero value is empty.
type table struct {
	mu   sync.Mutex
	rows []row
}

type row struct{ scenario, what, value string }

// measured notes something for the table at the end of the run. Rows of a scenario that come one after the other are
// shown together.
func (w *world) measured(scenario, what, value string) {
	w.table.mu.Lock()
	defer w.table.mu.Unlock()
	w.table.rows = append(w.table.rows, row{scenario, what, value})
}

// write shows all rows, aligned.
func (t *table) write(to io.Writer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	const cellPadding = 2
	out := tabwriter.NewWriter(to, 0, 0, cellPadding, ' ', 0)
	before := ""
	for _, r := range t.rows {
		if r.scenario != before {
			fmt.Fprintf(out, "\n%s\n", r.scenario)
		}
		before = r.scenario
		fmt.Fprintf(out, "  %s\t%s\n", r.what, r.value)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("print what was measured: %w", err)
	}
	return nil
}

func TestTheTableIsAligned(t *testing.T) {
	w := &world{}
	w.measured("One", "a", "1")
	w.measured("One", "longer", "2")
	w.measured("Two", "b", "3")
	var got bytes.Buffer
	if err := w.table.write(&got); err != nil {
		t.Fatal(err)
	}
	const want = "\nOne\n  a       1\n  longer  2\n\nTwo\n  b  3\n"
	if got.String() != want {
		t.Errorf("the table is\n%s\nwant\n%s", &got, want)
	}
}
