package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// envProgram hands the path of the built program to the run inside the network namespace.
const envProgram = "LINKSPAN_GATEWAYBENCH_PROGRAM"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if play := roles()[os.Getenv(envRole)]; play != nil {
		os.Exit(exitCode(play(ctx, os.Args[1:])))
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
	fmt.Fprintln(os.Stderr, "gatewaybench:", err)
	return 1
}

// exited is how the run inside the network namespace ended.
type exited int

// Error implements error.
func (e exited) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// run builds the program, goes into a network namespace, and measures there.
func run(ctx context.Context, opts options) error {
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

// buildProgram builds `gateway` as it ships, where the modules can still be reached.
func buildProgram(ctx context.Context) (remove func(), err error) {
	root, err := kubebin.ModuleRoot()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "linkspan-gatewaybench-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the program: %w", err)
	}
	remove = func() { _ = os.RemoveAll(dir) } // leftovers in the temporary folder do no harm
	program := filepath.Join(dir, "gateway")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./cmd/gateway")
	build.Dir, build.Stdout, build.Stderr = root, os.Stderr, os.Stderr
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := build.Run(); err != nil {
		remove()
		return nil, fmt.Errorf("building cmd/gateway: %w", err)
	}
	return remove, os.Setenv(envProgram, program)
}
