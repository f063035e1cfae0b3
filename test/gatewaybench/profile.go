package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
)

// envProfile asks a gateway for profiles, in files whose names begin with its value. The product serves
// none, so that its account of itself cannot be used against it: so this program is the gateway.
const envProfile = "LINKSPAN_GATEWAYBENCH_PROFILE"

// profiled runs a gateway with a CPU profile of its whole life and a memory profile of the moment when it
// was told to end, if these are asked for.
func profiled(ctx context.Context, run func(context.Context) error) error {
	prefix := os.Getenv(envProfile)
	if prefix == "" {
		return run(ctx)
	}
	cpu, err := os.Create(prefix + ".cpu.pprof")
	if err != nil {
		return fmt.Errorf("making a profile: %w", err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return errors.Join(fmt.Errorf("starting a profile: %w", err), cpu.Close())
	}
	// Streams go with the server, so the memory is looked at before it is told to stop.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	heap := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		heap <- writeHeap(prefix + ".heap.pprof")
		stop()
	})
	err = run(running)
	pprof.StopCPUProfile()
	if ctx.Err() != nil {
		err = errors.Join(err, <-heap)
	}
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
