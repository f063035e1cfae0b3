package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVerdict(t *testing.T) {
	t.Parallel()
	theirs := cell{900, 1000, 1100}
	for name, c := range map[string]struct {
		unit unit
		ours cell
		none bool // no HAProxy
		goal goal
		want string
	}{
		"enough":                        {ours: cell{3000}, goal: atLeast(lanes, 3), want: "ok, 3.00x"},
		"not enough":                    {ours: cell{2900, 2500, 9000}, goal: atLeast(lanes, 3), want: "MISSED, 2.90x"},
		"no more than theirs":           {ours: cell{1000}, goal: noMore(), want: "ok, 1.00x"},
		"more than theirs":              {ours: cell{1500}, goal: noMore(), want: "MISSED, 1.50x"},
		"times are told by difference":  {unit: milliseconds, ours: cell{-1}, goal: noMore(), want: "ok, 1001.000 ms less"},
		"longer times":                  {unit: milliseconds, ours: cell{1001}, goal: noMore(), want: "MISSED, 1.000 ms more"},
		"below the limit":               {ours: cell{200}, goal: limit(400), want: "ok, 0.50x"},
		"above the limit":               {ours: cell{500}, goal: limit(400), want: "MISSED, 1.25x"},
		"a limit needs no haproxy":      {none: true, ours: cell{200}, goal: limit(400), want: "ok, 0.50x"},
		"without haproxy":               {none: true, ours: cell{200}, goal: atLeast(lanes, 3), want: "no haproxy"},
		"another way":                   {ours: cell{3000}, goal: atLeast(linkerd, 1), want: "not measured"},
		"a number that could not be":    {ours: cell{none()}, goal: atLeast(lanes, 1), want: "not measured"},
		"the limit itself is permitted": {ours: cell{400}, goal: limit(400), want: "ok, 1.00x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := row{Unit: c.unit, Cells: map[way]cell{lanes: c.ours, haproxy: theirs}}
			if c.none {
				delete(r.Cells, haproxy)
			}
			if got := r.verdict(c.goal); got != c.want {
				t.Errorf("verdict is %q, want %q", got, c.want)
			}
		})
	}
}

func example() report {
	return report{Rounds: 3, Seconds: 2, Processors: 2, HAProxy: "HAProxy version 2.6", Rows: []row{
		{
			Section: sectionConnections, Measure: "new connections", Unit: perSecond, Note: "a note",
			Cells: map[way]cell{direct: {20000}, haproxy: {1000, 1100, 900}, lanes: {4000, 4000, 4000}, linkerd: {990}},
			Goals: []goal{atLeast(lanes, 3), atLeast(linkerd, 1)},
		},
		{Section: sectionBytes, Measure: "processor time", Unit: seconds, Cells: map[way]cell{direct: {none()}, lanes: {1.5}}},
	}}
}

func TestTableHasALineForEachGoal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := example().write(&out, "table"); err != nil {
		t.Fatal(err)
	}
	want := `MEASURE          DIRECT   HAPROXY      LANES       MUX  LINKERD-WIRE  GOAL                        VERDICT        NOTE
new connections  20000/s  1000/s ±10%  4000/s ±0%       990/s         lanes >= 3x haproxy         ok, 4.00x      a note
                                                                      linkerd-wire >= 1x haproxy  MISSED, 0.99x
processor time                         1.50 s

Medians of 3 rounds of 2 s, with half the distance between the best and the worst; direct and mux once where
nothing is said. HAProxy version 2.6. Client, backend, gateways and an idle API server share 2 processors.
`
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(out.String(), "\n")); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestTableSaysWhatDistorts(t *testing.T) {
	t.Parallel()
	r := report{Profiled: true}
	if text := r.conditions(); !strings.Contains(text, "not installed") || !strings.Contains(text, "being profiled") {
		t.Errorf("the conditions are %q, want that HAProxy is missing and that gateways were profiled", text)
	}
}

func TestJSONHasEveryRound(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := example().write(&out, "json"); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Rows []struct {
			Cells map[string]*struct {
				Median float64
				Rounds []float64
			}
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if theirs := got.Rows[0].Cells["haproxy"]; theirs == nil || theirs.Median != 1000 || len(theirs.Rounds) != 3 {
		t.Errorf("haproxy is %+v, want a median of 1000 of three rounds", theirs)
	}
	if got.Rows[1].Cells["direct"] != nil {
		t.Error("a number that there is not must be null")
	}
}
