package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/figures"
)

// coldStart is what it took to make all mirrors.
type coldStart struct {
	// first and all are from the start of the process until the first and the last mirror was ready.
	first, all time.Duration
	requests   requests
	usage      usage
	apiserver  time.Duration // processor time of west's, until all were ready
}

// patience is generous: it ends a hang, and judges nothing.
func (w *world) patience() time.Duration {
	return time.Minute + time.Duration(w.opts.services)*100*time.Millisecond
}

// startCold removes all mirrors, starts a controller and waits until all are ready.
func (w *world) startCold(ctx context.Context, name string) (*process, coldStart, error) {
	var c coldStart
	if err := w.clear(ctx); err != nil {
		return nil, c, err
	}
	slices, err := w.follow(ctx, &discoveryv1.EndpointSliceList{})
	if err != nil {
		return nil, c, err
	}
	defer slices.stop()
	before, err := readUsage(w.west.PID())
	if err != nil {
		return nil, c, err
	}
	p, err := w.startController(ctx, name)
	if err != nil {
		return nil, c, err
	}
	running, cancel := p.whileRunning(ctx)
	defer cancel()
	seen := newReadiness()
	all, err := slices.until(running, w.patience(), "all mirrors are ready", func(e change) bool {
		seen.see(e)
		if c.first == 0 && seen.ready > 0 {
			c.first = e.at.Sub(p.started)
		}
		return seen.ready == w.opts.services
	})
	if err != nil {
		return nil, c, errors.Join(fmt.Errorf("%d of %d: %w", seen.ready, w.opts.services, err), p.stop())
	}
	after, err := readUsage(w.west.PID())
	if err != nil {
		return nil, c, errors.Join(err, p.stop())
	}
	c.all, c.apiserver = all.Sub(p.started), after.cpu-before.cpu
	w.progress.Say("%s: %d mirrors ready %.2f s after the start, the first after %.2f s", name, seen.ready, c.all.Seconds(), c.first.Seconds())
	return p, c, nil
}

// runCold is a whole cold start, with everything that it leads to, and the end of the controller.
func (w *world) runCold(ctx context.Context, name string) (coldStart, error) {
	from, err := w.mark()
	if err != nil {
		return coldStart{}, err
	}
	p, c, err := w.startCold(ctx, name)
	if err != nil {
		return c, err
	}
	err = w.settle(ctx)
	if err == nil {
		c.requests, err = w.requestsSince(from)
	}
	if err == nil {
		c.usage, err = p.usage()
	}
	return c, errors.Join(err, p.stop())
}

// rounds holds what each round measured.
type rounds struct {
	create, createCPU, apply, applyCPU []float64
	all, first, cpu, peak, apiserver   []float64
	last                               coldStart
}

func measureColdStart(ctx context.Context, w *world) ([]row, error) {
	if err := w.setUnexported(ctx, w.opts.services); err != nil {
		return nil, err
	}
	mirrors, err := w.mirrors(ctx)
	if err != nil {
		return nil, err
	}
	// The API server's first objects cost more than the later ones; nobody is to pay for that.
	if _, err := w.floor(ctx, mirrors[:min(len(mirrors), 100)], applyMirror); err != nil {
		return nil, err
	}
	var r rounds
	for i := range w.opts.rounds {
		if err := w.coldRound(ctx, i+1, mirrors, &r); err != nil {
			return nil, err
		}
	}
	rows := r.rows(w.opts.services)
	mixed, err := w.mixed(ctx)
	return append(rows, mixed...), err
}

func (w *world) coldRound(ctx context.Context, round int, mirrors []wanted, r *rounds) error {
	create, err := w.floor(ctx, mirrors, createMirror)
	if err != nil {
		return err
	}
	apply, err := w.floor(ctx, mirrors, applyMirror)
	if err != nil {
		return err
	}
	w.progress.Say("floor %d: create %.2f s, server-side apply %.2f s", round, create.took.Seconds(), apply.took.Seconds())
	c, err := w.runCold(ctx, fmt.Sprintf("cold-%d", round))
	if err != nil {
		return err
	}
	r.create, r.createCPU = append(r.create, inSeconds(create.took)), append(r.createCPU, inSeconds(create.apiserver))
	r.apply, r.applyCPU = append(r.apply, inSeconds(apply.took)), append(r.applyCPU, inSeconds(apply.apiserver))
	r.all, r.first = append(r.all, inSeconds(c.all)), append(r.first, inSeconds(c.first))
	r.cpu, r.peak = append(r.cpu, inSeconds(c.usage.cpu)), append(r.peak, c.usage.peak)
	r.apiserver = append(r.apiserver, inSeconds(c.apiserver))
	r.last = c
	w.progress.Say("requests of the last cold start:%s", c.requests.kindsText())
	return nil
}

func (r rounds) rows(services int) []row {
	create, apply, all := figures.Median(r.create), figures.Median(r.apply), figures.Median(r.all)
	asked := r.last.requests
	perMirror := func(n int) float64 { return float64(n) / float64(services) }
	return []row{
		{Measure: "floor: create", Number: create, Unit: seconds, Note: spread(seconds, r.create)},
		{Measure: "floor: server-side apply", Number: apply, Unit: seconds, Note: spread(seconds, r.apply)},
		{
			Measure: "start until all mirrors are ready", Number: all, Unit: seconds, Limit: new(2 * create), Goal: "2x the floor of create",
			Incumbent: "684 s", Note: strings.TrimSuffix(fmt.Sprintf("%.2fx create, %.2fx apply; %s", all/create, all/apply, spread(seconds, r.all)), "; "),
		},
		{Measure: "start until the first mirror is ready", Number: figures.Median(r.first), Unit: seconds, Note: "start of the process, leader election, caches, connecting, first probe"},
		{Measure: "writes per mirror", Number: perMirror(asked.mirrorWrites), Limit: new(2.0)},
		{
			Measure: "requests per mirror", Number: perMirror(asked.all()), Incumbent: "7.7",
			Note: fmt.Sprintf("%d writes to mirrors, %d other writes, %d reads; beside them %d watches, %d of the lease", asked.mirrorWrites, asked.otherWrites, asked.reads, asked.watches, asked.leases),
		},
		{Measure: "processor time of the controller", Number: figures.Median(r.cpu), Unit: seconds, Note: spread(seconds, r.cpu)},
		{
			Measure: "processor time of the local API server", Number: figures.Median(r.apiserver), Unit: seconds,
			Note: fmt.Sprintf("floor: %.2f s by create, %.2f s by apply", figures.Median(r.createCPU), figures.Median(r.applyCPU)),
		},
		{Measure: "peak memory", Number: figures.Median(r.peak), Unit: mebibytes, Limit: new(60.0), Incumbent: "98 MiB", Note: spread(mebibytes, r.peak)},
	}
}

// mixed is a cold start with every second service mirrored pod to pod.
func (w *world) mixed(ctx context.Context) ([]row, error) {
	if err := w.exportOddAs(ctx, v1alpha3.ExportedRemoteDiscovery); err != nil {
		return nil, err
	}
	c, err := w.runCold(ctx, "cold-mixed")
	if err := errors.Join(err, w.exportOddAs(ctx, v1alpha3.ExportedGateway)); err != nil {
		return nil, err
	}
	return []row{
		{
			Measure: "half of them pod to pod: all ready", Number: inSeconds(c.all), Unit: seconds,
			Note: fmt.Sprintf("%.2f writes per mirror, peak %.1f MiB", float64(c.requests.mirrorWrites)/float64(w.opts.services), c.usage.peak),
		},
	}, nil
}
