package logging

import (
	"io"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// OBS-15: the metric follows the level, also where it was changed for a while.
func TestLogLevelIsMeasured(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ configured, changed, want string }{
		"error":               {configured: "error", want: "8"},
		"warn":                {configured: "warn", want: "4"},
		"info":                {configured: "info", want: "0"},
		"debug":               {configured: "debug", want: "-4"},
		"changed for a while": {configured: "info", changed: "debug", want: "-4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			registry := prometheus.NewPedanticRegistry()
			_, l := New(Options{Level: c.configured, Format: "text"}, io.Discard)
			NewMetrics(registry, l)
			if c.changed != "" {
				if err := l.change(c.changed, "1h"); err != nil {
					t.Fatal(err)
				}
				defer l.reset.Stop()
			}
			want := `
# HELP linkspan_log_level Log level in force: 8 is error, 4 warn, 0 info, -4 debug.
# TYPE linkspan_log_level gauge
linkspan_log_level ` + c.want + "\n"
			if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
				t.Error(err)
			}
		})
	}
}
