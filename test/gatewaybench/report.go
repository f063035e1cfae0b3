package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/linkspan/linkspan/test/figures"
)

// unit is what a number counts.
type unit string

// Units, as the table shows them.
const (
	perSecond          unit = "/s"
	mebibytesPerSecond unit = "MiB/s"
	mebibytes          unit = "MiB"
	milliseconds       unit = "ms"
	microseconds       unit = "us"
	seconds            unit = "s"
)

func (u unit) format(n float64) string {
	switch u {
	case perSecond:
		return fmt.Sprintf("%.0f%s", n, u)
	case mebibytesPerSecond, microseconds:
		return fmt.Sprintf("%.0f %s", n, u)
	case milliseconds:
		return fmt.Sprintf("%.3f %s", n, u)
	case seconds:
		return fmt.Sprintf("%.2f %s", n, u)
	default:
		return fmt.Sprintf("%.1f %s", n, u)
	}
}

// none is a number that there is not.
func none() float64 { return math.NaN() }

// cell is what was measured by one way, a number for each round. It is never empty.
type cell []float64

func (c cell) median() float64 { return figures.Median(c) }

// missing says that the way has no such number.
func (c cell) missing() bool { return len(c) == 0 || math.IsNaN(c.median()) }

// text shows the median and how far the rounds are apart, which it hides.
func (c cell) text(u unit) string {
	if c.missing() {
		return ""
	}
	middle, apart := c.median(), (slices.Max(c)-slices.Min(c))/2
	switch text := u.format(middle); {
	case len(c) == 1:
		return text
	case u == milliseconds: // what a way adds may be around zero
		return fmt.Sprintf("%s ±%.3f", text, apart)
	default:
		return fmt.Sprintf("%s ±%.0f%%", text, 100*apart/middle)
	}
}

// MarshalJSON implements json.Marshaler.
func (c cell) MarshalJSON() ([]byte, error) {
	if c.missing() {
		return []byte("null"), nil
	}
	return json.Marshal(struct {
		Median float64   `json:"median"`
		Rounds []float64 `json:"rounds"`
	}{c.median(), c})
}

// goal is what a way should reach.
type goal struct {
	Way way `json:"way"`
	// Factor is of what HAProxy does, and Least says that more is better; or else Limit is the most.
	Factor float64 `json:"factor,omitempty"`
	Least  bool    `json:"least,omitempty"`
	Limit  float64 `json:"limit,omitempty"`
}

// atLeast asks for so many times what HAProxy does.
func atLeast(w way, factor float64) goal { return goal{Way: w, Factor: factor, Least: true} }

// noMore asks the way that is the default for no more than what HAProxy takes.
func noMore() goal { return goal{Way: lanes, Factor: 1} }

// limit asks the way that is the default for no more than a number.
func limit(most float64) goal { return goal{Way: lanes, Limit: most} }

func (g goal) text(u unit) string {
	switch {
	case g.Factor == 0:
		return fmt.Sprintf("%s <= %s", g.Way, u.format(g.Limit))
	case g.Least:
		return fmt.Sprintf("%s >= %gx haproxy", g.Way, g.Factor)
	default:
		return fmt.Sprintf("%s <= %gx haproxy", g.Way, g.Factor)
	}
}

// row is one line of the table.
type row struct {
	Section string       `json:"section"`
	Measure string       `json:"measure"`
	Unit    unit         `json:"unit"`
	Cells   map[way]cell `json:"cells"`
	Goals   []goal       `json:"goals,omitempty"`
	Note    string       `json:"note,omitempty"`
}

// verdict says whether a goal is reached, and where we are.
func (r row) verdict(g goal) string {
	ours, theirs := r.Cells[g.Way], r.Cells[haproxy]
	switch {
	case ours.missing():
		return "not measured"
	case g.Factor > 0 && theirs.missing():
		return "no haproxy"
	case g.met(ours, theirs):
		return "ok, " + r.distance(g)
	default:
		return "MISSED, " + r.distance(g)
	}
}

func (g goal) met(ours, theirs cell) bool {
	switch {
	case g.Factor == 0:
		return ours.median() <= g.Limit
	case g.Least:
		return ours.median() >= g.Factor*theirs.median()
	default:
		return ours.median() <= g.Factor*theirs.median()
	}
}

// distance says where we are, measured against HAProxy or the limit. Times that a way adds may be around
// zero, or below, so that only their difference says something.
func (r row) distance(g goal) string {
	ours, against := r.Cells[g.Way].median(), g.Limit
	if g.Factor > 0 {
		against = r.Cells[haproxy].median()
	}
	if r.Unit != milliseconds {
		return fmt.Sprintf("%.2fx", ours/against)
	}
	if ours > against {
		return r.Unit.format(ours-against) + " more"
	}
	return r.Unit.format(against-ours) + " less"
}

// report is everything that one run measured, and under which conditions.
type report struct {
	Rounds     int     `json:"rounds"`
	Seconds    float64 `json:"seconds"`
	Processors int     `json:"processors"`
	HAProxy    string  `json:"haproxy,omitempty"`
	Profiled   bool    `json:"profiled,omitempty"`
	Rows       []row   `json:"rows"`
}

func (r report) write(out io.Writer, format string) error {
	if format == figures.FormatJSON {
		return figures.WriteJSON(out, r)
	}
	head := []string{"MEASURE"}
	for _, w := range ways() {
		head = append(head, strings.ToUpper(string(w)))
	}
	lines := [][]string{append(head, "GOAL", "VERDICT", "NOTE")}
	for _, one := range r.Rows {
		lines = append(lines, one.lines()...)
	}
	return figures.WriteTable(out, lines, r.conditions())
}

// lines are a row, and one of its own for each further goal.
func (r row) lines() (all [][]string) {
	cells := []string{r.Measure}
	for _, w := range ways() {
		cells = append(cells, r.Cells[w].text(r.Unit))
	}
	if len(r.Goals) == 0 {
		return [][]string{append(cells, "", "", r.Note)}
	}
	note := r.Note
	for _, g := range r.Goals {
		all = append(all, append(cells, g.text(r.Unit), r.verdict(g), note))
		cells, note = make([]string, len(cells)), ""
	}
	return all
}

func (r report) conditions() string {
	theirs := r.HAProxy
	if theirs == "" {
		theirs = "HAProxy is not installed"
	}
	text := fmt.Sprintf("\nMedians of %d rounds of %g s, with half the distance between the best and the worst; direct and mux once where\n"+
		"nothing is said. %s. Client, backend, gateways and an idle API server share %d processors.\n",
		r.Rounds, r.Seconds, theirs, r.Processors)
	if r.Profiled {
		text += "Our gateways were being profiled, which costs time and memory.\n"
	}
	return text
}
