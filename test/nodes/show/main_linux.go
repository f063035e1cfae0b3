package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/linkspan/linkspan/test/nodes"
	"github.com/linkspan/linkspan/test/nodes/pair"
	"github.com/linkspan/linkspan/test/nodes/walkthrough"
	"github.com/linkspan/linkspan/test/rig"
)

type options struct{ check, walkthrough, exit bool }

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	var o options
	flags := flag.NewFlagSet("show", flag.ContinueOnError)
	flags.BoolVar(&o.check, "check", false, "only tell whether this machine can run nodes, and what it lacks")
	flags.BoolVar(&o.walkthrough, "walkthrough", false, "perform docs/walkthrough.md first, up to where it cleans up")
	flags.BoolVar(&o.exit, "exit", false, "end after that instead of waiting for Ctrl-C; the walkthrough is performed to its end")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	code, err := perform(ctx, o)
	if err != nil { // also when it was told to end: what it was waiting for then is news
		fmt.Fprintln(os.Stderr, "show:", err)
		return 1
	}
	return code
}

func perform(ctx context.Context, o options) (code int, err error) {
	if o.check {
		return 0, nodes.Supported()
	}
	if err := pair.Prepare(ctx); err != nil {
		return 1, err
	}
	isolated, err := nodes.Isolate(ctx, rig.Isolation{})
	if err != nil {
		return 1, err
	}
	if isolated.Outside {
		return isolated.ExitCode, nil
	}
	log.SetLogger(logr.Discard()) // nothing here logs
	p, err := pair.Start(ctx, os.Stderr)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if o.walkthrough {
		if err := walk(ctx, p, o.exit, os.Stdout); err != nil {
			return 1, err
		}
	}
	if o.exit {
		return 0, nil
	}
	shell, err := p.Shell()
	if err != nil {
		return 1, err
	}
	fmt.Fprintf(os.Stderr, "\nBoth clusters are up, until Ctrl-C. A shell beside them, with mirror, helm and kubectl on its path:\n\n  %s\n\n", shell)
	<-ctx.Done()
	return 0, nil
}

// walk shows each command of the walkthrough, and what it says.
func walk(ctx context.Context, p *pair.Pair, whole bool, out io.Writer) error {
	blocks, err := walkthrough.Read(p.Checkout, filepath.Join(p.Dir(), "certs"))
	if err == nil && !whole {
		blocks, err = walkthrough.Before(blocks, walkthrough.CleanUp)
	}
	if err != nil {
		return err
	}
	heading := ""
	for _, block := range blocks {
		if block.Heading != heading {
			heading = block.Heading
			fmt.Fprintf(out, "\n%s\n%s\n", heading, strings.Repeat("=", len(heading)))
		}
		fmt.Fprintf(out, "\n%s\n", commands(block.Script))
		if _, err := p.Run(ctx, block.Script, out); err != nil {
			return fmt.Errorf("%s, line %s: %w", walkthrough.Page, strconv.Itoa(block.Line), err)
		}
	}
	return nil
}

// commands shows a script as a terminal would.
func commands(script string) string {
	return "  $ " + strings.ReplaceAll(strings.TrimSuffix(script, "\n"), "\n", "\n    ") + "\n"
}
