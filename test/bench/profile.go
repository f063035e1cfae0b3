package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"

	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/linkspan/linkspan/internal/controller"
)

// envProfile makes this program the controller: the product serves no profiles, so that its account
// of itself cannot be used against it.
const envProfile = "LINKSPAN_BENCH_PROFILE"

// runProfiled is `mirror controller` with a CPU profile of its whole life and a memory profile of its
// end, in files whose names begin with $LINKSPAN_BENCH_PROFILE.
func runProfiled(ctx context.Context, args []string) error {
	prefix := os.Getenv(envProfile)
	var opts controller.Options
	fs := pflag.NewFlagSet("controller", pflag.ContinueOnError)
	opts.Bind(fs, linksNamespace, false)
	kubeconfig := fs.String("kubeconfig", "", "path of the kubeconfig file to use")
	if err := fs.Parse(args); err != nil {
		return err
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	cpu, err := os.Create(prefix + ".cpu.pprof")
	if err != nil {
		return fmt.Errorf("making a profile: %w", err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return errors.Join(fmt.Errorf("starting a profile: %w", err), cpu.Close())
	}
	// The caches go with the controller, so the memory is looked at before it is told to stop.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	heap := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		heap <- writeHeap(prefix + ".heap.pprof")
		stop()
	})
	err = controller.Run(running, cfg, opts, os.Stderr)
	pprof.StopCPUProfile()
	if ctx.Err() != nil {
		err = errors.Join(err, <-heap)
	}
	stop()
	return errors.Join(err, cpu.Close())
}

func writeHeap(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("making a profile: %w", err)
	}
	runtime.GC() // what is in use, not what is about to be collected
	return errors.Join(pprof.WriteHeapProfile(file), file.Close())
}
