package main

import (
	"context"
	"errors"
	"fmt"
)

func measureIdle(ctx context.Context, w *world) ([]row, error) {
	if err := w.setUnexported(ctx, w.opts.services); err != nil {
		return nil, err
	}
	p, _, err := w.startCold(ctx, "idle")
	if err != nil {
		return nil, err
	}
	rows, err := w.idle(ctx, p)
	return rows, errors.Join(err, p.stop())
}

func (w *world) idle(ctx context.Context, p *process) ([]row, error) {
	if err := w.settle(ctx); err != nil {
		return nil, err
	}
	before, err := p.usage()
	if err != nil {
		return nil, err
	}
	from, err := w.mark()
	if err != nil {
		return nil, err
	}
	w.progress.Say("counting requests for %s", w.opts.idle)
	running, cancel := p.whileRunning(ctx)
	defer cancel()
	if err := pause(running, w.opts.idle); err != nil {
		return nil, err
	}
	asked, err := w.requestsSince(from)
	if err != nil {
		return nil, err
	}
	after, err := p.usage()
	if err != nil {
		return nil, err
	}
	w.progress.Say("idle requests:%s", asked.kindsText())
	span := "in " + w.opts.idle.String()
	return []row{
		{
			Measure: "idle writes " + span, Number: float64(asked.mirrorWrites + asked.otherWrites), Limit: new(0.0),
			Incumbent: "5 requests a second", Note: fmt.Sprintf("beside them %d renewals of the leader's lease", asked.leases),
		},
		{Measure: "idle reads " + span, Number: float64(asked.reads), Limit: new(0.0), Note: fmt.Sprintf("beside them %d renewals of watches", asked.watches)},
		{Measure: "idle processor time", Number: 100 * (after.cpu - before.cpu).Seconds() / w.opts.idle.Seconds(), Unit: "% of a processor"},
		{Measure: "memory after " + w.opts.idle.String(), Number: after.resident, Unit: mebibytes, Note: fmt.Sprintf("peak %.1f MiB", after.peak)},
	}, nil
}
