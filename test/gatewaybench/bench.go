package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/linkspan/linkspan/test/figures"
	"github.com/linkspan/linkspan/test/gatewaybench/load"
)

// bench is one run.
type bench struct {
	opts     options
	progress *figures.Progress
	world    *world
	// haproxy is the program, empty where there is none.
	haproxy string
	// files is how many a process may have open.
	files int
}

// Names of sections.
const (
	sectionConnections = "connections"
	sectionBytes       = "bytes"
	sectionUpload      = "upload"
	sectionLatency     = "latency"
	sectionMemory      = "memory"
	sectionShort       = "short"
)

// section is one part of the table. It says what it measured, also when it fails half way.
type section struct {
	name string
	run  func(*bench, context.Context) ([]row, error)
}

func sections() []section {
	return []section{
		{sectionConnections, (*bench).measureConnections},
		{sectionBytes, (*bench).measureDownloads},
		{sectionUpload, (*bench).measureUploads},
		{sectionLatency, (*bench).measureLatency},
		{sectionMemory, (*bench).measureMemory},
		{sectionShort, (*bench).measureShort},
	}
}

func sectionNames() []string {
	var names []string
	for _, s := range sections() {
		names = append(names, s.name)
	}
	return names
}

// measure runs the sections one after the other. One that fails does not keep the others from running.
func measure(ctx context.Context, opts options, out io.Writer, p *figures.Progress) (err error) {
	b := &bench{opts: opts, progress: p}
	if b.files, err = raiseFiles(); err != nil {
		return fmt.Errorf("raising the limit of open files: %w", err)
	}
	program, version := findHAProxy(p)
	b.haproxy = program
	p.Say("starting a cluster")
	if b.world, err = newWorld(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.world.close()) }()
	found := report{
		Rounds: opts.rounds, Seconds: opts.window.Seconds(), Processors: runtime.NumCPU(), HAProxy: version, Profiled: opts.profile != "",
	}
	var errs []error
	for _, s := range sections() {
		if ctx.Err() != nil || !opts.wants(s.name) {
			continue
		}
		p.Say("%s", s.name)
		rows, err := s.run(b, ctx)
		for i := range rows {
			rows[i].Section = s.name
		}
		found.Rows = append(found.Rows, rows...)
		if err != nil {
			p.Say("section %s failed: %v", s.name, err)
			errs = append(errs, fmt.Errorf("section %s: %w", s.name, err))
		}
	}
	return errors.Join(append(errs, ctx.Err(), found.write(out, opts.output))...)
}

// available are those ways that there are here.
func (b *bench) available(of ...way) []way {
	var found []way
	for _, w := range of {
		if w != haproxy || b.haproxy != "" {
			found = append(found, w)
		}
	}
	return found
}

// stage is the client and the ways of one section.
type stage struct {
	bench  *bench
	client *client
	paths  map[way]*path
	order  []way
}

func (b *bench) setStage(ctx context.Context, section string, of ...way) (*stage, error) {
	s := &stage{bench: b, paths: map[way]*path{}}
	var err error
	if s.client, err = b.startClient(ctx, section); err != nil {
		return nil, err
	}
	for _, w := range b.available(of...) {
		p, err := b.open(ctx, section, w)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.paths[w], s.order = p, append(s.order, w)
	}
	return s, nil
}

// close ends the ways before the client, which may hold connections that a profile is to show.
func (s *stage) close() error {
	var errs []error
	for _, w := range s.order {
		errs = append(errs, s.paths[w].stop())
	}
	return errors.Join(append(errs, s.client.stop())...)
}

// rounds measures each way in turn, round after round; those in once are only there for scale, and
// measured in the first round alone.
func (s *stage) rounds(ctx context.Context, what string, spec load.Spec, once ...way) (results, error) {
	spec.Warm = s.bench.opts.warm
	found := results{}
	for round := range s.bench.opts.rounds {
		for _, w := range s.order {
			if round > 0 && contains(once, w) {
				continue
			}
			result, err := s.client.do(ctx, s.paths[w], spec)
			if err != nil {
				return found, err
			}
			found[w] = append(found[w], result)
		}
		s.bench.progress.Say("%s, round %d:%s", what, round+1, found.last(s.order, spec.Kind))
	}
	return found, s.verify(ctx)
}

// verify makes sure that streams took the way that they were to take.
func (s *stage) verify(ctx context.Context) error {
	for _, w := range s.order {
		p := s.paths[w]
		if p.admin == "" {
			continue
		}
		by, err := p.streams(ctx, metricStreams)
		if err != nil {
			return err
		}
		var all float64
		for _, n := range by {
			all += n
		}
		// A stream may have had to do without, such as the very first ones.
		if rest := all - by[p.via]; rest > 10+all/100 {
			return fmt.Errorf("of the streams by %s %.0f of %.0f were not carried by %q: %v", w, rest, all, p.via, by)
		}
	}
	return nil
}

// results are those of one measurement, by way and round.
type results map[way][]load.Result

// last is the last round, for a person who waits.
func (r results) last(order []way, kind load.Kind) string {
	var text strings.Builder
	for _, w := range order {
		if of := r[w]; len(of) > 0 {
			last := of[len(of)-1]
			switch {
			case len(last.Took) > 0:
				fmt.Fprintf(&text, "  %s %.3f/%.3f ms", w, figures.Percentile(inMilliseconds(last.Took), 50), figures.Percentile(inMilliseconds(last.Took), 99))
			case kind == load.Download || kind == load.Upload:
				fmt.Fprintf(&text, "  %s %.0f MiB/s", w, last.PerSecond()/(1<<20))
			default:
				fmt.Fprintf(&text, "  %s %.0f/s", w, last.PerSecond())
			}
		}
	}
	return text.String()
}

// cells make one number of each result.
func (r results) cells(number func(load.Result) float64) map[way]cell {
	cells := map[way]cell{}
	for w, all := range r {
		for _, one := range all {
			cells[w] = append(cells[w], number(one))
		}
	}
	return cells
}

// failures is a note about requests that failed, empty if none did.
func (r results) failures() string {
	var notes []string
	for _, w := range ways() {
		failed, first := 0, ""
		for _, one := range r[w] {
			if failed += one.Failed; first == "" {
				first = one.Failure
			}
		}
		if failed > 0 {
			notes = append(notes, fmt.Sprintf("%s: %d FAILED, such as: %s", w, failed, first))
		}
	}
	return strings.Join(notes, "; ")
}
