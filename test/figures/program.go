package figures

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// Context ends with the first signal to stop; a second one ends the process at once.
func Context() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx
}

// ExitCode is what the process ends with. It says what went wrong, unless the run inside the network namespace has done so.
func ExitCode(name string, err error) int {
	if err == nil {
		return 0
	}
	if inside, ok := errors.AsType[Exited](err); ok {
		return int(inside)
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	return 1
}

// Exited is how another run ended, which has said itself what went wrong: inside the network namespace, or in a role.
type Exited int

// Error implements error.
func (e Exited) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Program is what is measured, such as ./cmd/controller.
type Program struct {
	Package string
	// Env is the variable that hands the path of the built program to the run inside the network namespace.
	Env string
}

// Inside builds the program, where modules can still be reached, and goes on in a network namespace. It is false outside, when
// that run has ended; its end is the error then.
func (p Program) Inside(ctx context.Context) (bool, error) {
	if os.Getenv(p.Env) == "" {
		remove, err := p.build(ctx)
		if err != nil {
			return false, err
		}
		defer remove()
	}
	isolated, err := rig.Isolate(ctx, rig.Isolation{})
	switch {
	case err != nil:
		return false, err
	case isolated.Outside && isolated.ExitCode != 0:
		return false, Exited(isolated.ExitCode)
	}
	return !isolated.Outside, nil
}

// build makes the program as it ships.
func (p Program) build(ctx context.Context) (remove func(), err error) {
	root, err := kubebin.ModuleRoot()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "linkspan-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the program: %w", err)
	}
	remove = func() { _ = os.RemoveAll(dir) } // leftovers in the temporary folder do no harm
	program := filepath.Join(dir, filepath.Base(p.Package))
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, p.Package)
	build.Dir, build.Stdout, build.Stderr = root, os.Stderr, os.Stderr
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := build.Run(); err != nil {
		remove()
		return nil, fmt.Errorf("building %s: %w", p.Package, err)
	}
	return remove, os.Setenv(p.Env, program)
}

// Progress tells a person how far it is. It may be used by several goroutines if its writer may.
type Progress struct {
	w     io.Writer
	start time.Time
}

// NewProgress counts the time from now on.
func NewProgress(w io.Writer) *Progress { return &Progress{w: w, start: time.Now()} }

// Say writes a line that begins with the seconds since the start.
func (p *Progress) Say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.w, "%7.1fs  %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
}
