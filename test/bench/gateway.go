package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
)

const (
	// verdictPatience and verdictInterval are for the question whether the gateway is alive, which only
	// the metrics answer at once.
	verdictPatience = time.Minute
	verdictInterval = 10 * time.Millisecond
)

// flip is what a change of the gateway took.
type flip struct {
	// verdict is from the change to the verdict, all from the verdict to the last mirror.
	verdict, all time.Duration
}

func measureGateway(ctx context.Context, w *world) ([]row, error) {
	if err := w.setUnexported(ctx, w.opts.services); err != nil {
		return nil, err
	}
	p, _, err := w.startCold(ctx, "gateway")
	if err != nil {
		return nil, err
	}
	rows, err := w.flips(ctx, p)
	return rows, errors.Join(err, w.gateway.Up(), p.stop())
}

func (w *world) flips(ctx context.Context, p *process) ([]row, error) {
	if err := w.settle(ctx); err != nil {
		return nil, err
	}
	from, err := w.mark()
	if err != nil {
		return nil, err
	}
	down, err := w.flip(ctx, p, false, w.gateway.Down)
	if err != nil {
		return nil, fmt.Errorf("gateway down: %w", err)
	}
	up, err := w.flip(ctx, p, true, w.gateway.Up)
	if err != nil {
		return nil, fmt.Errorf("gateway up: %w", err)
	}
	if err := w.settle(ctx); err != nil {
		return nil, err
	}
	asked, err := w.requestsSince(from)
	if err != nil {
		return nil, err
	}
	writes := fmt.Sprintf("%.2f writes per mirror for down and up", float64(asked.mirrorWrites)/float64(w.opts.services))
	return []row{
		{Measure: "gateway down: until the verdict", Number: inSeconds(down.verdict), Unit: seconds, Note: "probed every second, dead after 2 failures"},
		{Measure: "gateway down: from the verdict until no mirror is ready", Number: inSeconds(down.all), Unit: seconds, Limit: new(5.0), Note: writes},
		{Measure: "gateway up: until the verdict", Number: inSeconds(up.verdict), Unit: seconds, Note: "alive after 2 successes"},
		{Measure: "gateway up: from the verdict until all mirrors are ready", Number: inSeconds(up.all), Unit: seconds, Limit: new(5.0)},
	}, nil
}

// flip changes the gateway and waits for the verdict and for all mirrors.
func (w *world) flip(ctx context.Context, p *process, alive bool, act func() error) (flip, error) {
	slices, err := w.follow(ctx, &discoveryv1.EndpointSliceList{})
	if err != nil {
		return flip{}, err
	}
	defer slices.stop()
	ctx, cancel := p.whileRunning(ctx)
	defer cancel()
	started := time.Now()
	if err := act(); err != nil {
		return flip{}, err
	}
	verdict, err := p.awaitVerdict(ctx, alive)
	if err != nil {
		return flip{}, err
	}
	wanted := 0
	if alive {
		wanted = w.opts.services
	}
	seen := newReadiness()
	last, err := slices.until(ctx, w.patience(), fmt.Sprintf("%d mirrors are ready", wanted), func(c change) bool {
		seen.see(c)
		return len(seen.state) == w.opts.services && seen.ready == wanted
	})
	if err != nil {
		return flip{}, fmt.Errorf("%d are ready: %w", seen.ready, err)
	}
	f := flip{verdict: verdict.Sub(started), all: last.Sub(verdict)}
	w.progress.Say("gateway alive=%t: verdict after %.2f s, all mirrors %.2f s later", alive, f.verdict.Seconds(), f.all.Seconds())
	return f, nil
}

// awaitVerdict asks the controller's metrics until they say what is wanted.
func (p *process) awaitVerdict(ctx context.Context, alive bool) (time.Time, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, verdictPatience, fmt.Errorf("no verdict within %s", verdictPatience))
	defer cancel()
	for {
		value, known, err := p.metric(ctx, "gateway_alive")
		if err != nil {
			return time.Time{}, err
		}
		if known && (value == 1) == alive {
			return time.Now(), nil
		}
		if err := pause(ctx, verdictInterval); err != nil {
			return time.Time{}, err
		}
	}
}
