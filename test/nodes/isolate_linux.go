package nodes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

const (
	// EnvWanted names the environment variable that lets tests with nodes run.
	EnvWanted = "LINKSPAN_NODES"
	// envPrograms tells the program inside where the programs are that were built outside.
	envPrograms = "LINKSPAN_NODES_PROGRAMS"
)

// Isolate is rig.Isolate for programs that run nodes: with mounts and processes of its own. It builds what is missing,
// outside, where there is a network to download modules from.
func Isolate(ctx context.Context, want rig.Isolation) (*rig.Isolated, error) {
	want.Machine = true
	if os.Getenv(envPrograms) != "" { // inside
		isolated, err := rig.Isolate(ctx, want)
		if err != nil || isolated.Outside {
			return isolated, err
		}
		return isolated, settle()
	}
	if err := errors.Join(fits(), Supported()); err != nil {
		return nil, err
	}
	if err := sweep(); err != nil {
		return nil, err
	}
	programs, err := ensure(ctx, want.Progress)
	if err != nil {
		return nil, err
	}
	if err := os.Setenv(envPrograms, programs); err != nil {
		return nil, fmt.Errorf("set %s: %w", envPrograms, err)
	}
	isolated, err := rig.Isolate(ctx, want)
	if err != nil {
		return nil, err
	}
	// The program inside may have been killed.
	return isolated, sweep()
}

func ensure(ctx context.Context, progress io.Writer) (string, error) {
	if progress == nil {
		progress = os.Stderr
	}
	return kubebin.EnsureNodes(ctx, progress)
}

// Main runs the tests of a package isolated, when LINKSPAN_NODES=1 asks for nodes, and fails where there can be none. Else
// it runs them as they are: those that call Need are skipped.
// Use it as func TestMain(m *testing.M) { os.Exit(nodes.Main(m)) }. What tests share is ended by what is to be done after
// them, and before goroutines that were left behind are looked for.
func Main(m *testing.M, after ...func() error) int {
	if os.Getenv(envPrograms) == "" && os.Getenv(EnvWanted) != "1" {
		return m.Run()
	}
	isolated, err := Isolate(context.Background(), rig.Isolation{})
	if err != nil {
		fmt.Fprintln(os.Stderr, "linkspan nodes:", err)
		return 1
	}
	if isolated.Outside {
		return isolated.ExitCode
	}
	// What client-go and controller-runtime tell of API servers that go away is no news here.
	log.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	code := m.Run()
	for _, end := range after {
		if err := end(); err != nil {
			fmt.Fprintln(os.Stderr, "linkspan nodes:", err)
			code = max(code, 1)
		}
	}
	if code != 0 {
		return code
	}
	if err := rig.FindLeaks(); err != nil {
		fmt.Fprintln(os.Stderr, "linkspan nodes:", err)
		return 1
	}
	return 0
}

// Need skips a test where nobody asked for nodes.
func Need(t testing.TB) {
	t.Helper()
	if os.Getenv(envPrograms) == "" {
		t.Skip("Kubernetes nodes are only started with " + EnvWanted + "=1")
	}
}
