package build

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// OBS-16: who looks at a metric sees which version runs.
func TestVersionIsALabel(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	NewMetrics(registry, "v1.2.3")
	want := `
# HELP linkspan_build_info Always 1; the version of the program is its label.
# TYPE linkspan_build_info gauge
linkspan_build_info{version="v1.2.3"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, error %v", problems, err)
	}
}
