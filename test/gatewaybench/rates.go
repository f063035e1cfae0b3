package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/linkspan/linkspan/test/figures"
	"github.com/linkspan/linkspan/test/gatewaybench/load"
)

const (
	// connectParallel is how many new connections are under way at a time.
	connectParallel = 16
	// echoRate and connectRate are how many requests a second latencies are taken of: few enough that every
	// way keeps up on a small machine.
	echoRate    = 500
	connectRate = 200
	// latencyParallel is enough for nobody to wait for a worker.
	latencyParallel = 32
)

// Goals of the gateway, as factors of what HAProxy does.
const (
	goalConnections = 3.0
	goalBytes       = 1.25
	goalLinkerdWire = 1.0
)

// measureConnections counts new connections.
func (b *bench) measureConnections(ctx context.Context) (rows []row, err error) {
	s, err := b.setStage(ctx, sectionConnections, ways()...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	found, err := s.rounds(ctx, "new connections", load.Spec{
		Kind: load.Connect, Parallel: connectParallel, Window: b.opts.window,
	}, direct, mux)
	return []row{
		{
			Measure: fmt.Sprintf("new connections, %d at a time", connectParallel), Unit: perSecond,
			Cells: found.cells(load.Result.PerSecond), Note: found.failures(),
			Goals: []goal{atLeast(lanes, goalConnections), atLeast(linkerd, goalLinkerdWire)},
		},
		{Measure: "processor time per connection, of the pair", Unit: microseconds, Cells: found.cells(func(r load.Result) float64 {
			return perUnit(r, 1) * 1e6
		})},
	}, err
}

func (b *bench) measureDownloads(ctx context.Context) ([]row, error) {
	return b.measureBytes(ctx, sectionBytes, load.Download, "backend to client")
}

func (b *bench) measureUploads(ctx context.Context) ([]row, error) {
	return b.measureBytes(ctx, sectionUpload, load.Upload, "client to backend")
}

// measureBytes counts bytes, on one stream and on many.
func (b *bench) measureBytes(ctx context.Context, section string, kind load.Kind, direction string) (rows []row, err error) {
	s, err := b.setStage(ctx, section, ways()...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, parallel := range []int{1, 32} {
		what := fmt.Sprintf("%s, streams: %d", direction, parallel)
		found, err := s.rounds(ctx, what, load.Spec{Kind: kind, Parallel: parallel, Window: b.opts.window}, direct, mux)
		rows = append(rows,
			row{
				Measure: what, Unit: mebibytesPerSecond, Note: found.failures(),
				Cells: found.cells(func(r load.Result) float64 { return r.PerSecond() / (1 << 20) }),
				Goals: []goal{atLeast(lanes, goalBytes), atLeast(linkerd, goalLinkerdWire)},
			},
			row{
				Measure: what + ": processor time per GiB, of the pair", Unit: seconds,
				Cells: found.cells(func(r load.Result) float64 { return perUnit(r, 1<<30) }),
			})
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// perUnit is the processor time, in seconds, of the processes on the way for each unit of what was counted;
// NaN, and so an empty cell, where there are none.
func perUnit(r load.Result, unit float64) float64 {
	if len(r.CPU) == 0 || r.Count == 0 {
		return none()
	}
	return r.TotalCPU().Seconds() / (float64(r.Count) / unit)
}

// measureLatency takes the times of requests that come at a fixed rate, far below what any way can do.
func (b *bench) measureLatency(ctx context.Context) (rows []row, err error) {
	s, err := b.setStage(ctx, sectionLatency, direct, haproxy, lanes, linkerd)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, spec := range []struct {
		what string
		load load.Spec
	}{
		{fmt.Sprintf("%d messages a second on open connections", echoRate), load.Spec{Kind: load.EchoAtRate, Rate: echoRate}},
		{fmt.Sprintf("%d new connections a second", connectRate), load.Spec{Kind: load.ConnectAtRate, Rate: connectRate}},
	} {
		spec.load.Parallel, spec.load.Window = latencyParallel, b.opts.window*2/3
		found, err := s.rounds(ctx, spec.what, spec.load)
		rows = append(rows, latencyRows(spec.what, found)...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// latencyRows are what each way adds to the direct one, in the same round.
func latencyRows(what string, found results) []row {
	var rows []row
	for _, p := range []float64{50, 99} {
		base := found[direct]
		cells := map[way]cell{}
		for w, all := range found {
			for i, one := range all[:min(len(all), len(base))] {
				took := figures.Percentile(inMilliseconds(one.Took), p)
				if w != direct {
					took -= figures.Percentile(inMilliseconds(base[i].Took), p)
				}
				cells[w] = append(cells[w], took)
			}
		}
		one := row{Measure: fmt.Sprintf("%s: added at p%.0f", what, p), Unit: milliseconds, Cells: cells, Note: "direct: in all"}
		if p > 50 {
			one.Goals = []goal{noMore()}
		}
		if failures := found.failures(); failures != "" {
			one.Note += "; " + failures
		}
		rows = append(rows, one)
	}
	return rows
}

func inMilliseconds(all []time.Duration) []float64 {
	var found []float64
	for _, one := range all {
		found = append(found, float64(one)/float64(time.Millisecond))
	}
	return found
}

func contains(of []way, w way) bool { return slices.Contains(of, w) }
