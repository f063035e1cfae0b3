package figures

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// WriteJSON writes a report for programs.
func WriteJSON(out io.Writer, report any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(report); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// WriteTable aligns lines of cells, and writes a text under them: what the numbers depend on.
func WriteTable(out io.Writer, lines [][]string, conditions string) error {
	var text strings.Builder
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, cells := range lines {
		_, _ = fmt.Fprintln(columns, strings.Join(cells, "\t")) // a strings.Builder takes everything
	}
	if err := columns.Flush(); err != nil {
		return fmt.Errorf("aligning the table: %w", err)
	}
	var aligned strings.Builder
	for line := range strings.Lines(text.String()) {
		aligned.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	if _, err := io.WriteString(out, aligned.String()+conditions); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}

// Median of an odd number of values is one of them; of none it is no number.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Percentile is the smallest value that p percent of all are not above; of none it is no number.
func Percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}
