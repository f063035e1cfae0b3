package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/linkspan/linkspan/test/gatewaybench/load"
)

const (
	// memorySettle is how long buffers and garbage of what was done get to be given back.
	memorySettle = 2 * time.Second
	// goalIdle is for goalIdleStreams, in MiB.
	goalIdle        = 400
	goalIdleStreams = 10_000
	// flat is how much more counts as the same: garbage collection alone makes as much of a difference.
	flat = 1.1
)

// measureMemory says what idle connections cost.
func (b *bench) measureMemory(ctx context.Context) ([]row, error) {
	resident := map[int]map[way]cell{0: {}}
	for _, n := range b.opts.idle {
		resident[n] = map[way]cell{}
	}
	var errs []error
	for _, w := range b.available(haproxy, lanes) {
		errs = append(errs, b.holdIdle(ctx, w, resident))
	}
	rows := memoryRows(b.opts.idle, resident)
	for i, n := range b.opts.idle {
		if b.haproxy != "" && n > haproxyMost(b.files) {
			rows[1+i].Note = fmt.Sprintf("HAProxy may have at most %d here: %d open files are allowed", haproxyMost(b.files), b.files)
		}
	}
	return rows, errors.Join(errs...)
}

// memoryRows are one for no connection, one for each number of idle ones, and what these cost. Cells are empty
// for what was not measured.
func memoryRows(idle []int, resident map[int]map[way]cell) []row {
	rows := []row{{Measure: "memory of the pair, no connection", Unit: mebibytes, Cells: resident[0]}}
	each := row{Measure: "for each 1000 of these", Unit: mebibytes, Cells: map[way]cell{}}
	for _, n := range idle {
		one := row{Measure: fmt.Sprintf("memory of the pair, %d idle connections", n), Unit: mebibytes, Cells: resident[n]}
		if n == goalIdleStreams {
			one.Goals = []goal{limit(goalIdle)}
		}
		rows = append(rows, one)
		for w, used := range resident[n] {
			each.Cells[w] = cell{(used.median() - resident[0][w].median()) / float64(n) * 1000}
		}
	}
	return append(rows, each)
}

// holdIdle opens more and more connections by one way, and looks at the memory in between.
func (b *bench) holdIdle(ctx context.Context, w way, resident map[int]map[way]cell) (err error) {
	s, err := b.setStage(ctx, sectionMemory+"-"+string(w), w)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, n := range slices.Concat([]int{0}, b.opts.idle) {
		if w == haproxy && n > haproxyMost(b.files) {
			continue
		}
		if n > 0 {
			if _, err := s.client.do(ctx, s.paths[w], load.Spec{Kind: load.Hold, Parallel: n}); err != nil {
				return err
			}
		}
		used, err := s.settled(ctx, w)
		if err != nil {
			return err
		}
		resident[n][w] = cell{used}
		b.progress.Say("%s, %d idle connections: %.1f MiB", w, n, used)
	}
	return nil
}

// settled is the memory of a pair, in MiB, after a moment.
func (s *stage) settled(ctx context.Context, w way) (float64, error) {
	running, cancel := whileRunning(ctx, s.paths[w].processes()...)
	defer cancel()
	if err := pause(running, memorySettle); err != nil {
		return 0, err
	}
	return s.paths[w].resident()
}

// measureShort makes many short connections, over which memory must stay what it is. A tenth of them goes
// before, so that pools and heaps have their size.
func (b *bench) measureShort(ctx context.Context) (rows []row, err error) {
	s, err := b.setStage(ctx, sectionShort, lanes)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	var resident [2]float64
	var found results
	for i, n := range []int{max(1, b.opts.short/10), b.opts.short} {
		result, err := s.client.do(ctx, s.paths[lanes], load.Spec{Kind: load.Connect, Parallel: connectParallel, Total: n})
		if err != nil {
			return nil, err
		}
		if resident[i], err = s.settled(ctx, lanes); err != nil {
			return nil, err
		}
		found = results{lanes: {result}}
		b.progress.Say("%d short connections in %.1f s: %.1f MiB", n, result.Elapsed.Seconds(), resident[i])
	}
	return []row{
		{Measure: fmt.Sprintf("memory of the pair after %d short connections", max(1, b.opts.short/10)), Unit: mebibytes, Cells: map[way]cell{lanes: {resident[0]}}},
		{
			Measure: fmt.Sprintf("memory of the pair after %d more", b.opts.short), Unit: mebibytes, Cells: map[way]cell{lanes: {resident[1]}},
			Goals: []goal{limit(resident[0] * flat)}, Note: strings.TrimPrefix(found.failures()+fmt.Sprintf("; %.2f times what it was", resident[1]/resident[0]), "; "),
		},
	}, nil
}
