package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/test/gatewaybench/load"
)

func TestSumByVia(t *testing.T) {
	t.Parallel()
	got, err := sumByVia(strings.NewReader(`# HELP linkspan_gateway_streams_total Streams
linkspan_gateway_streams_total{reason="",result="done",side="ingress",via="lane"} 12
linkspan_gateway_streams_total{reason="reset",result="aborted",side="ingress",via="lane"} 3
linkspan_gateway_streams_total{reason="",result="done",side="ingress",via="mux"} 1e+06
linkspan_gateway_open_streams{side="ingress",via="lane"} 7
go_goroutines 8
`), metricStreams)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]float64{"lane": 15, "mux": 1e6}, got); diff != "" {
		t.Errorf("streams (-want +got):\n%s", diff)
	}
}

func took(all ...int) load.Result {
	var r load.Result
	for _, n := range all {
		r.Took = append(r.Took, time.Duration(n)*time.Millisecond)
	}
	return r
}

// What a way adds is held against the direct one of the same round, so that a slow moment of the machine
// does not count.
func TestLatencyIsWhatAWayAddsInItsOwnRound(t *testing.T) {
	t.Parallel()
	rows := latencyRows("requests", results{
		direct:  {took(1, 1, 2), took(11, 11, 12)},
		haproxy: {took(2, 2, 5), took(12, 12, 15)},
		lanes:   {took(3, 3, 4)}, // the second round failed
	})
	want := []map[way]cell{
		{direct: {1, 11}, haproxy: {1, 1}, lanes: {2}},
		{direct: {2, 12}, haproxy: {3, 3}, lanes: {2}},
	}
	for i, row := range rows {
		if diff := cmp.Diff(want[i], row.Cells); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.Measure, diff)
		}
	}
	if got := rows[1].verdict(rows[1].Goals[0]); got != "ok, 1.000 ms less" {
		t.Errorf("verdict is %q", got)
	}
}

func TestMemoryIsDividedByConnections(t *testing.T) {
	t.Parallel()
	rows := memoryRows([]int{1000, 10000}, map[int]map[way]cell{
		0: {haproxy: {30}, lanes: {40}}, 1000: {haproxy: {50}, lanes: {60}}, 10000: {lanes: {240}},
	})
	if len(rows) != 4 {
		t.Fatalf("%d rows, want 4", len(rows))
	}
	if got := rows[2].verdict(rows[2].Goals[0]); got != "ok, 0.60x" {
		t.Errorf("verdict on 10000 connections is %q", got)
	}
	// HAProxy's is of the most that it was measured with.
	if diff := cmp.Diff(map[way]cell{haproxy: {20}, lanes: {20}}, rows[3].Cells); diff != "" {
		t.Errorf("memory of each 1000 (-want +got):\n%s", diff)
	}
}

func TestFailuresAreNotSilent(t *testing.T) {
	t.Parallel()
	r := results{lanes: {{Count: 5}, {Failed: 2, Failure: "connection reset"}}, direct: {{Count: 5}}}
	if got, want := r.failures(), "lanes: 2 FAILED, such as: connection reset"; got != want {
		t.Errorf("note is %q, want %q", got, want)
	}
}
