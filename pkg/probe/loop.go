package probe

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"
)

// probeLoop probes one address until its context ends. The first probe is at once; jitter keeps
// loops that started together from staying together.
func (g *Gateways) probeLoop(gw *gateway, t *target, s settings) func(context.Context) {
	asked := Target{
		IP: t.ip, Port: s.probe.Port, Path: s.probe.Path,
		Timeout: min(s.probe.Timeout, s.probe.Period),
	}
	return func(ctx context.Context) {
		for {
			started := time.Now()
			found, err := g.probe(ctx, asked, s.traffic)
			g.record(ctx, gw, t, found, err)
			if !wait(ctx, jittered(s.probe.Period)-time.Since(started)) {
				return
			}
		}
	}
}

// probe is one probe of one address.
func (g *Gateways) probe(ctx context.Context, asked Target, to traffic) (outcome, error) {
	next, fault := g.handshakeWith(asked.IP, to)
	found, err := check(ctx, g.dial, asked, next)
	found.unready = fault
	if err == nil {
		err = fault
	}
	return found, err
}

// handshakeWith prepares the TLS part of one probe. It is nil if there is none to make, and also with
// an error, which is a fault of ours.
func (g *Gateways) handshakeWith(ip netip.Addr, to traffic) (*handshake, error) {
	if to == (traffic{}) {
		return nil, nil
	}
	at := netip.AddrPortFrom(ip, to.port)
	config, err := g.tls(to.identity)
	if err != nil {
		return nil, &Error{Step: StepTLS, Address: at.String(), Err: unready{cause: err}}
	}
	return &handshake{address: at, identity: to.identity, config: config}, nil
}

// record takes the result of a probe in, unless its loop was stopped while it was under way.
func (g *Gateways) record(ctx context.Context, gw *gateway, t *target, found outcome, err error) {
	verdict, changed := g.takeResult(ctx, gw, t, found, err)
	switch {
	case !changed:
	case verdict == Dead:
		g.log.Info("Gateway address is dead", "link", gw.name, "address", t.ip, "reason", err.Error())
	default:
		g.log.Info("Gateway address is alive", "link", gw.name, "address", t.ip, "latency", found.latency)
	}
}

func (g *Gateways) takeResult(ctx context.Context, gw *gateway, t *target, found outcome, err error) (verdict State, changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ctx.Err() != nil {
		return t.machine.State, false
	}
	changed = t.take(found, err)
	g.metrics.countProbe(gw.settings.cluster, t.ip, found.latency, err)
	g.metrics.setExpiry(gw.settings.cluster, gw.expiry())
	// Whether we can make handshakes is the same for all addresses, as they share one identity.
	news := (gw.unready != nil) != (found.unready != nil)
	gw.unready = errors.Unwrap(found.unready)
	if changed {
		g.publish(gw)
	}
	if changed || news {
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
