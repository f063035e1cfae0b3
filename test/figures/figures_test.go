package figures

import (
	"bytes"
	"flag"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPercentile(t *testing.T) {
	t.Parallel()
	values := []float64{5, 1, 4, 2, 3}
	for p, want := range map[float64]float64{1: 1, 50: 3, 80: 4, 99: 5, 100: 5} {
		if got := Percentile(values, p); got != want {
			t.Errorf("percentile %v is %v, want %v", p, got, want)
		}
	}
	if got := Median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median is %v, want 2.5", got)
	}
	if p, m := Percentile(nil, 50), Median(nil); !math.IsNaN(p) || !math.IsNaN(m) {
		t.Errorf("percentile and median of nothing are %v and %v, want none", p, m)
	}
	if diff := cmp.Diff([]float64{5, 1, 4, 2, 3}, values); diff != "" {
		t.Errorf("the samples were changed (-want +got):\n%s", diff)
	}
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		rounds, output string // the environment
		args           []string
		want           string // what comes of it, or a part of the error
	}{
		"defaults":               {want: "3 table"},
		"the environment":        {rounds: "5", output: FormatJSON, want: "5 json"},
		"a flag counts for more": {rounds: "5", args: []string{"-rounds", "7"}, want: "7 table"},
		"nonsense of make":       {rounds: "many", want: `$ROUNDS is "many"`},
		"a stray argument":       {args: []string{"cold"}, want: `unexpected argument "cold"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("ROUNDS", c.rounds)
			t.Setenv("OUTPUT", c.output)
			fs := flag.NewFlagSet("test", flag.ContinueOnError)
			fs.SetOutput(&bytes.Buffer{})
			fs.Int("rounds", 3, "")
			fs.String("o", FormatTable, "")
			got := ""
			if err := Parse(fs, c.args); err != nil {
				got = err.Error()
			} else {
				got = fs.Lookup("rounds").Value.String() + " " + fs.Lookup("o").Value.String()
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("it says %q, want %q", got, c.want)
			}
		})
	}
}

func TestTableIsAligned(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := WriteTable(&out, [][]string{{"MEASURE", "RESULT", "NOTE"}, {"a", "1 s", ""}, {"longer than that", "20 s", "why"}}, "\nBy night.\n"); err != nil {
		t.Fatal(err)
	}
	const want = `MEASURE           RESULT  NOTE
a                 1 s
longer than that  20 s    why

By night.
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
