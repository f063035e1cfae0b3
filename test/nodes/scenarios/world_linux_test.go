package scenarios

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/linkspan/linkspan/test/nodes"
	"github.com/linkspan/linkspan/test/nodes/pair"
)

// gone is how long objects may take to be gone: pods are given 30 s to end.
const gone = time.Minute

func TestMain(m *testing.M) {
	if os.Getenv(nodes.EnvWanted) == "1" {
		// Before there is no network any more: it is built from modules that may have to be downloaded.
		if err := pair.Prepare(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "scenarios:", err)
			os.Exit(1)
		}
	}
	os.Exit(nodes.Main(m, func() error { return shared.show(os.Stdout) }, shared.hold, shared.close))
}

// envKeep leaves the clusters up after one scenario, with what it installed, until Ctrl-C.
const envKeep = "LINKSPAN_E2E_KEEP"

func kept() bool { return os.Getenv(envKeep) != "" }

// world is the pair of clusters, and what was measured in it.
type world struct {
	*pair.Pair

	table table
}

// shared is made by the first test that asks for it.
var shared sharedWorld //nolint:gochecknoglobals // clusters take longer than tests

type sharedWorld struct {
	once sync.Once
	w    *world
	err  error
}

// show writes what was measured, if there was a world to measure.
func (s *sharedWorld) show(to io.Writer) error {
	if s.w == nil {
		return nil
	}
	return s.w.table.write(to)
}

// hold waits for Ctrl-C where the clusters are to stay up.
func (s *sharedWorld) hold() error {
	if s.w == nil || s.w.Pair == nil || !kept() {
		return nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	shell, err := s.w.Shell()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "\nBoth clusters are up, until Ctrl-C. A shell beside them, with mirror, helm and kubectl on its path:\n\n  %s\n\n", shell)
	<-ctx.Done()
	return nil
}

func (s *sharedWorld) close() error {
	if s.w == nil || s.w.Pair == nil {
		return nil
	}
	return s.w.Close()
}

// takesAway skips a test that removes what it installs, as a part of what it shows, where that is to stay.
func takesAway(t *testing.T) {
	t.Helper()
	if kept() {
		t.Skip("it takes away what it installs: not with KEEP")
	}
}

// theWorld gives the shared pair of clusters.
func theWorld(t *testing.T) *world {
	t.Helper()
	nodes.Need(t)
	if kept() && shared.w != nil {
		t.Skip("KEEP leaves in place what the first scenario installed: name the one to run with RUN")
	}
	shared.once.Do(func() { shared.w, shared.err = newWorld(context.Background()) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.w
}

func newWorld(ctx context.Context) (*world, error) {
	p, err := pair.Start(ctx, os.Stderr)
	return &world{Pair: p}, err
}

func (w *world) west() *nodes.Cluster { return w.West() }
func (w *world) east() *nodes.Cluster { return w.East() }

// sh runs a script as a user would, from the checkout's folder, and gives what it writes to its standard output.
// It fails the test when any command of it fails.
func (w *world) sh(t *testing.T, script string) string {
	t.Helper()
	out, err := w.try(t.Context(), script, os.Stderr)
	if err != nil {
		t.Fatalf("%v in\n%s", err, script)
	}
	return out
}

// try runs a script and gives its standard output, and an error with its standard error.
func (w *world) try(ctx context.Context, script string, show io.Writer) (string, error) {
	return w.Run(ctx, script, show)
}

// each does something in both clusters at the same time.
func (w *world) each(t *testing.T, do func(context.Context, *nodes.Cluster) error) {
	t.Helper()
	group, ctx := errgroup.WithContext(withoutCancel(t))
	for _, c := range w.Fleet.Clusters() {
		group.Go(func() error { return do(ctx, c) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// within asks until it hears no error, for a limited time.
func within(ctx context.Context, limit time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return nodes.Await(ctx, ask)
}

// withoutCancel is for clean-ups: the context of the test has ended by then.
func withoutCancel(t *testing.T) context.Context {
	t.Helper()
	return context.WithoutCancel(t.Context())
}
