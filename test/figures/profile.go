package figures

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
)

// Profiled runs something with a CPU profile of its whole life, and a memory profile of the moment when it is told to end, in
// files whose names begin with prefix. What it holds goes with it, so the memory is looked at before it is told.
func Profiled(ctx context.Context, prefix string, run func(context.Context) error) error {
	cpu, err := os.Create(prefix + ".cpu.pprof")
	if err != nil {
		return fmt.Errorf("making a profile: %w", err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return errors.Join(fmt.Errorf("starting a profile: %w", err), cpu.Close())
	}
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
