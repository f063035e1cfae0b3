package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/linkspan/linkspan/internal/cli"
	"github.com/linkspan/linkspan/internal/install/render"
)

// version is set by the linker (see Makefile).
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	streams := cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	os.Exit(cli.Main(ctx, streams, cli.Program{Version: version, Charts: render.Charts{}}, os.Args[1:]))
}
