package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// interrupted is the exit code of a program that Ctrl-C ended before its time.
const interrupted = 130

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	exit := flags.Bool("exit", false, "end after the last step instead of waiting for Ctrl-C")
	mirror := flags.String("mirror", "", "the mirror program; bin/mirror of this checkout when empty")
	gateway := flags.String("gateway", "", "the gateway program; bin/gateway of this checkout when empty")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	options := stageOptions{exit: *exit}
	var err error
	if options.mirror, err = find(programMirror, *mirror); err != nil {
		return fail(err)
	}
	if options.gateway, err = find(programGateway, *gateway); err != nil {
		return fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	isolated, err := rig.Isolate(ctx, rig.Isolation{Listen: hostListeners()})
	if err != nil {
		return fail(err)
	}
	if isolated.Outside {
		return isolated.ExitCode
	}
	if err := dropProxies(); err != nil {
		return fail(err)
	}
	// Nothing here logs; the global logger would only complain that it is unset.
	log.SetLogger(logr.Discard())
	options.listeners = isolated.Listeners
	err = perform(ctx, newTeller(os.Stdout), options)
	switch {
	case errors.Is(err, errInterrupted):
		return interrupted
	case err != nil:
		return 1
	}
	return 0
}

// find is a program that `make build` makes, or the one at path, as an absolute path.
func find(name, path string) (string, error) {
	if path == "" {
		root, err := kubebin.ModuleRoot()
		if err != nil {
			return "", err
		}
		path = filepath.Join(root, "bin", name)
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the program %s is missing: run make demo, or make build first: %w", name, err)
	}
	return filepath.Abs(path)
}

// dropProxies makes programs talk to each other directly: no proxy can be reached from inside the
// namespace.
func dropProxies() error {
	var errs []error
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasSuffix(strings.ToLower(name), "_proxy") {
			errs = append(errs, os.Unsetenv(name))
		}
	}
	return errors.Join(errs...)
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "demo:", err)
	return 1
}
