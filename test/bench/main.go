package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/linkspan/linkspan/test/figures"
)

// envProgram hands the path of the built program to the run inside the network namespace.
const envProgram = "LINKSPAN_BENCH_PROGRAM"

func main() {
	ctx := figures.Context()
	if os.Getenv(envProfile) != "" {
		os.Exit(figures.ExitCode("bench", runProfiled(ctx, os.Args[1:])))
	}
	opts, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, opts)
	}
	os.Exit(figures.ExitCode("bench", err))
}

// run builds the program, goes into a network namespace, and measures there.
func run(ctx context.Context, opts options) error {
	inside, err := figures.Program{Package: "./cmd/controller", Env: envProgram}.Inside(ctx)
	if err != nil || !inside {
		return err
	}
	ctrllog.SetLogger(logr.Discard())
	return measure(ctx, opts, os.Stdout, figures.NewProgress(os.Stderr))
}

// section is one part of the table. It says what it measured, also when it fails half way.
type section struct {
	name string
	run  func(context.Context, *world) ([]row, error)
}

func sections() []section {
	return []section{
		{"cold", measureColdStart},
		{"idle", measureIdle},
		{"changes", measureChanges},
		{"gateway", measureGateway},
		{"memory", measureMemory},
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
	p.Say("starting two clusters")
	w, err := newWorld(ctx, opts, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	found := report{
		Services: opts.services, Unexported: opts.services, Workers: opts.workers, Processors: runtime.NumCPU(),
		Kubernetes: w.version, Profiled: opts.profile != "",
	}
	var errs []error
	for _, s := range sections() {
		if ctx.Err() != nil || !opts.wants(s.name) {
			continue
		}
		rows, err := s.run(ctx, w)
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
