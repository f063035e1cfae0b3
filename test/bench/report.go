package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/linkspan/linkspan/test/figures"
)

// unit is what a number counts.
type unit string

// Units, as the table shows them.
const (
	seconds      unit = "s"
	milliseconds unit = "ms"
	mebibytes    unit = "MiB"
	count        unit = ""
)

func (u unit) format(n float64) string {
	switch u {
	case count:
		if n == math.Trunc(n) {
			return fmt.Sprintf("%.0f", n)
		}
		return fmt.Sprintf("%.2f", n)
	case seconds:
		return fmt.Sprintf("%.2f s", n)
	default:
		return fmt.Sprintf("%.1f %s", n, u)
	}
}

// row is one measured number.
type row struct {
	Section string  `json:"section"`
	Measure string  `json:"measure"`
	Number  float64 `json:"number"`
	Unit    unit    `json:"unit,omitempty"`
	// Limit is the most that Number should be, if there is a goal.
	Limit *float64 `json:"limit,omitempty"`
	// Goal says where the limit comes from, when that is more than a number.
	Goal      string `json:"goal,omitempty"`
	Incumbent string `json:"incumbent,omitempty"`
	Note      string `json:"note,omitempty"`
}

// goal is the goal in words.
func (r row) goal() string {
	if r.Limit == nil {
		return ""
	}
	text := "<= " + r.Unit.format(*r.Limit)
	if r.Goal != "" {
		text += " (" + r.Goal + ")"
	}
	return text
}

// verdict says whether the goal is met, and else by how much it is missed.
func (r row) verdict() string {
	switch {
	case r.Limit == nil:
		return ""
	case r.Number <= *r.Limit:
		return "met"
	case *r.Limit == 0:
		return "missed by " + r.Unit.format(r.Number)
	default:
		return fmt.Sprintf("missed by %s (%.2fx)", r.Unit.format(r.Number-*r.Limit), r.Number / *r.Limit)
	}
}

// report is everything that one run measured, and under which conditions.
type report struct {
	Services   int    `json:"services"`
	Unexported int    `json:"unexported"`
	Workers    int    `json:"workers"`
	Processors int    `json:"processors"`
	Kubernetes string `json:"kubernetes"`
	Profiled   bool   `json:"profiled,omitempty"`
	Rows       []row  `json:"rows"`
}

func (r report) write(out io.Writer, format string) error {
	if format == figures.FormatJSON {
		return figures.WriteJSON(out, r)
	}
	lines := [][]string{{"SECTION", "MEASURE", "RESULT", "GOAL", "VERDICT", "INCUMBENT", "NOTE"}}
	for _, row := range r.Rows {
		lines = append(lines, []string{row.Section, row.Measure, row.Unit.format(row.Number), row.goal(), row.verdict(), row.Incumbent, row.Note})
	}
	return figures.WriteTable(out, lines, r.conditions())
}

// conditions are what the numbers depend on.
func (r report) conditions() string {
	profiled := ""
	if r.Profiled {
		profiled = " The controller was being profiled, which costs time and memory."
	}
	return fmt.Sprintf("\n%d exported and %d other services unless a row says otherwise, %d workers, Kubernetes %s. Two API servers,\n"+
		"two etcds, the controller and the measuring program share %d processors. The incumbent's figures are for 1000 + 1000.%s\n",
		r.Services, r.Unexported, r.Workers, r.Kubernetes, r.Processors, profiled)
}

// spread shows what a median hides.
func spread(u unit, values []float64) string {
	if len(values) < 2 {
		return ""
	}
	return fmt.Sprintf("%s to %s in %d rounds", u.format(slices.Min(values)), u.format(slices.Max(values)), len(values))
}

func inSeconds(d time.Duration) float64      { return d.Seconds() }
func inMilliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
