package main

import (
	"context"
	"errors"
	"flag"
	"os"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/linkspan/linkspan/test/figures"
)

// envProgram hands the path of the built program to the run inside the network namespace.
const envProgram = "LINKSPAN_GATEWAYBENCH_PROGRAM"

func main() {
	ctx := figures.Context()
	if play := roles()[os.Getenv(envRole)]; play != nil {
		os.Exit(figures.ExitCode("gatewaybench", play(ctx, os.Args[1:])))
	}
	opts, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, opts)
	}
	os.Exit(figures.ExitCode("gatewaybench", err))
}

// run builds the program, goes into a network namespace, and measures there.
func run(ctx context.Context, opts options) error {
	inside, err := figures.Program{Package: "./cmd/gateway", Env: envProgram}.Inside(ctx)
	if err != nil || !inside {
		return err
	}
	ctrllog.SetLogger(logr.Discard())
	return measure(ctx, opts, os.Stdout, figures.NewProgress(os.Stderr))
}
