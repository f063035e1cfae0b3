package table_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/internal/cli/table"
)

func TestRender(t *testing.T) {
	t.Parallel()
	tbl := table.New("CLUSTER", "ALIVE", "NOTE")
	tbl.Row("east", "True")
	tbl.Row("a-long-name", "False", "two\nlines\tand a tab")
	var out strings.Builder
	if err := tbl.Render(&out); err != nil {
		t.Fatal(err)
	}
	want := `CLUSTER      ALIVE  NOTE
east         True
a-long-name  False  two lines and a tab
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
