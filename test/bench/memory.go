package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// memorySettle is how long the runtime gets to give memory back.
const memorySettle = 15 * time.Second

// measureMemory says what services that nobody exports cost.
func measureMemory(ctx context.Context, w *world) ([]row, error) {
	var rows []row
	var least usage
	for i, n := range w.opts.unexported {
		if err := w.setUnexported(ctx, n); err != nil {
			return rows, err
		}
		p, _, err := w.startCold(ctx, fmt.Sprintf("memory-%d", n))
		if err != nil {
			return rows, err
		}
		used, err := w.memory(ctx, p)
		if err := errors.Join(err, p.stop()); err != nil {
			return rows, err
		}
		w.progress.Say("%d unexported services: %.1f MiB, peak %.1f MiB", n, used.resident, used.peak)
		peak := row{Measure: fmt.Sprintf("peak memory, %d unexported", n), Number: used.peak, Unit: mebibytes}
		if i == 0 {
			least = used
		} else {
			peak.Limit, peak.Goal = new(least.peak*flat), fmt.Sprintf("flat: as with %d, plus a tenth", w.opts.unexported[0])
		}
		rows = append(rows, peak, row{
			Measure: fmt.Sprintf("memory, %d unexported", n), Number: used.resident, Unit: mebibytes, Note: "settled for " + memorySettle.String(),
		})
	}
	return rows, nil
}

// flat is how much more counts as the same: garbage collection alone makes as much of a difference.
const flat = 1.1

func (w *world) memory(ctx context.Context, p *process) (usage, error) {
	if err := w.settle(ctx); err != nil {
		return usage{}, err
	}
	ctx, cancel := p.whileRunning(ctx)
	defer cancel()
	if err := pause(ctx, memorySettle); err != nil {
		return usage{}, err
	}
	return p.usage()
}
