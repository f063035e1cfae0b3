package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/linkspan/linkspan/internal/gateway"
)

// version is set by the linker (see Makefile).
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(gateway.Main(ctx, gateway.Streams{Out: os.Stdout, Err: os.Stderr}, version, os.Args[1:]))
}
