package probe

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/linkspan/linkspan/pkg/link"
)

// probeLoop probes one address until its context ends. The first probe is at once; jitter keeps
// loops that started together from staying together.
func (g *Gateways) probeLoop(gw *gateway, t *target, settings link.Probe) func(context.Context) {
	asked := Target{
		IP: t.ip, Port: settings.Port, Path: settings.Path, Timeout: min(settings.Timeout, settings.Period),
	}
	return func(ctx context.Context) {
		for {
			started := time.Now()
			latency, err := Check(ctx, g.dial, asked)
			g.record(ctx, gw, t, latency, err)
			if !wait(ctx, jittered(settings.Period)-time.Since(started)) {
				return
			}
		}
	}
}

// record takes the result of a probe in, unless its loop was stopped while it was under way.
func (g *Gateways) record(ctx context.Context, gw *gateway, t *target, latency time.Duration, err error) {
	verdict, changed := g.takeResult(ctx, gw, t, latency, err)
	switch {
	case !changed:
	case verdict == Dead:
		g.log.Info("Gateway address is dead", "link", gw.name, "address", t.ip, "reason", err.Error())
	default:
		g.log.Info("Gateway address is alive", "link", gw.name, "address", t.ip, "latency", latency)
	}
}

func (g *Gateways) takeResult(ctx context.Context, gw *gateway, t *target, latency time.Duration, err error) (verdict State, changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ctx.Err() != nil {
		return t.machine.State, false
	}
	changed = t.take(latency, err)
	g.metrics.countProbe(gw.settings.cluster, t.ip, latency, err)
	if changed {
		g.publish(gw)
		g.announceLater(gw.name)
	}
	return t.machine.State, changed
}

// resolveLoop looks one name up until its context ends (LESSON-29).
func (g *Gateways) resolveLoop(gw *gateway, n *name) func(context.Context) {
	return func(ctx context.Context) {
		for {
			started := time.Now()
			v4, v6 := lookup(ctx, g.resolver, n.host)
			g.takeAnswer(ctx, gw, n, v4, v6)
			if !wait(ctx, jittered(g.opts.ResolveInterval)-time.Since(started)) {
				return
			}
		}
	}
}

func (g *Gateways) takeAnswer(ctx context.Context, gw *gateway, n *name, v4, v6 answer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	first, failed := !n.settled, n.problem != nil
	n.take(v4, v6)
	g.metrics.countLookup(gw.settings.cluster, n.problem)
	if g.followTargets(gw) || first || failed != (n.problem != nil) {
		g.announceLater(gw.name)
	}
}

// wait says whether d passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// jittered gives d, up to a tenth more or less.
func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64())) //nolint:gosec // spreading load needs no secret randomness
}
