package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// envProgram hands the path of the built program to the run inside the network namespace.
const envProgram = "LINKSPAN_BENCH_PROGRAM"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if os.Getenv(envProfile) != "" {
		os.Exit(exitCode(runProfiled(ctx, os.Args[1:])))
	}
	opts, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, opts)
	}
	os.Exit(exitCode(err))
}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if inside, ok := errors.AsType[exited](err); ok {
		return int(inside)
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	return 1
}

// exited is how the run inside the network namespace ended.
type exited int

// Error implements error.
func (e exited) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// run builds the program, goes into a network namespace, and measures there.
func run(ctx context.Context, opts options) (err error) {
	if os.Getenv(envProgram) == "" {
		remove, err := buildProgram(ctx)
		if err != nil {
			return err
		}
		defer remove()
	}
	isolated, err := rig.Isolate(ctx, rig.Isolation{})
	if err != nil {
		return err
	}
	if isolated.Outside {
		if isolated.ExitCode != 0 {
			return exited(isolated.ExitCode)
		}
		return nil
	}
	ctrllog.SetLogger(logr.Discard())
	return measure(ctx, opts, os.Stdout, &progress{w: os.Stderr, start: time.Now()})
}

// buildProgram builds `mirror` as it ships, where the modules can still be reached.
func buildProgram(ctx context.Context) (remove func(), err error) {
	root, err := kubebin.ModuleRoot()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "linkspan-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the program: %w", err)
	}
	remove = func() { _ = os.RemoveAll(dir) } // leftovers in the temporary folder do no harm
	program := filepath.Join(dir, "mirror")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./cmd/mirror")
	build.Dir, build.Stdout, build.Stderr = root, os.Stderr, os.Stderr
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := build.Run(); err != nil {
		remove()
		return nil, fmt.Errorf("building cmd/mirror: %w", err)
	}
	return remove, os.Setenv(envProgram, program)
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
func measure(ctx context.Context, opts options, out io.Writer, p *progress) (err error) {
	p.say("starting two clusters")
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
			p.say("section %s failed: %v", s.name, err)
			errs = append(errs, fmt.Errorf("section %s: %w", s.name, err))
		}
	}
	return errors.Join(append(errs, ctx.Err(), found.write(out, opts.output))...)
}

// progress tells a person how far it is.
type progress struct {
	w     io.Writer
	start time.Time
}

func (p *progress) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.w, "%7.1fs  %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
}
