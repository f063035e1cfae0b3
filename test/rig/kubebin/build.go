package kubebin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const progressInterval = 5 * time.Second

// build makes one folder of the cache, with runs of the Go tool over tool modules.
type build struct {
	// what is built, for people, and how long that takes.
	what, takes string
	// entry is the folder's name in the cache, and wants the programs that it has when it is whole.
	entry string
	wants []string
	cache string
	// compile fills a folder.
	compile  func(ctx context.Context, b build, dir string) error
	progress io.Writer
}

// ensure returns the folder, which it builds unless it is there.
func (b build) ensure(ctx context.Context) (string, error) {
	if holds(b.target(), b.wants...) == nil {
		return b.target(), nil
	}
	if err := b.run(ctx); err != nil {
		return "", fmt.Errorf("build %s: %w", b.what, err)
	}
	return b.target(), nil
}

func (b build) target() string { return filepath.Join(b.cache, b.entry) }

// run builds into a temporary folder and renames it, under a lock that other processes wait for.
func (b build) run(ctx context.Context) (err error) {
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return fmt.Errorf("make the cache folder: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(b.cache, b.entry+".lock"), func() {
		b.say("another process is building %s, waiting for it", b.what)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	if holds(b.target(), b.wants...) == nil {
		return nil // built while we waited
	}
	if err := b.sweep(); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(b.cache, b.entry+"-build-")
	if err != nil {
		return fmt.Errorf("make a build folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	if err := os.Chmod(temp, 0o755); err != nil {
		return fmt.Errorf("open the build folder to others: %w", err)
	}

	b.say("building %s from source: about %s on 2 cores, once", b.what, b.takes)
	if err := b.compile(ctx, b, temp); err != nil {
		return err
	}
	// A folder that lacks a program is a leftover of an older list of programs.
	if err := os.RemoveAll(b.target()); err != nil {
		return fmt.Errorf("remove an incomplete cache entry: %w", err)
	}
	if err := os.Rename(temp, b.target()); err != nil {
		return fmt.Errorf("publish the build: %w", err)
	}
	return nil
}

// sweep removes what builds of this entry left that were killed. The lock is held, so none is alive.
func (b build) sweep() error {
	left, err := filepath.Glob(filepath.Join(b.cache, b.entry+"-build-*"))
	if err != nil {
		return fmt.Errorf("look for leftovers: %w", err)
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove a leftover: %w", err)
		}
	}
	return nil
}

// controlPlane is the build of etcd and of what a control plane consists of.
func controlPlane(module, version, cache string, progress io.Writer) build {
	return build{
		what: "Kubernetes " + version + " and etcd", takes: "6 minutes",
		entry: version, wants: programs(), cache: cache, progress: progress,
		compile: func(ctx context.Context, b build, dir string) error {
			err := b.kubernetes(ctx, module, version, dir, APIServer, ControllerManager, Kubectl)
			if err != nil {
				return err
			}
			return b.goBuild(ctx, module, "etcd", "-ldflags", "-s -w", "-o", filepath.Join(dir, Etcd), "go.etcd.io/etcd/server/v3")
		},
	}
}

// kubernetes keeps its flags stable on purpose: Go's build cache is keyed by them.
func (b build) kubernetes(ctx context.Context, module, version, dir string, names ...string) error {
	major, minor, err := majorMinor(version)
	if err != nil {
		return err
	}
	const variable = "k8s.io/component-base/version"
	flags := fmt.Sprintf("-s -w -X %s.gitVersion=%s -X %s.gitMajor=%s -X %s.gitMinor=%s",
		variable, version, variable, major, variable, minor)
	args := []string{"-ldflags", flags, "-o", dir + string(filepath.Separator)}
	for _, name := range names {
		args = append(args, "k8s.io/kubernetes/cmd/"+name)
	}
	return b.goBuild(ctx, module, "Kubernetes "+version, args...)
}

// goBuild builds static programs out of a module.
func (b build) goBuild(ctx context.Context, module, what string, args ...string) error {
	return b.goBuildWith(ctx, module, what, []string{"CGO_ENABLED=0"}, args...)
}

func (b build) goBuildWith(ctx context.Context, module, what string, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath"}, args...)...)
	cmd.Dir = module
	cmd.Env = append(append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "GOOS=", "GOARCH="), env...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output

	start := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the Go tool: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.say("building %s: %s", what, time.Since(start).Round(time.Second))
		case err := <-done:
			if err != nil {
				return fmt.Errorf("build %s: %w\n%s", what, err, strings.TrimSpace(output.String()))
			}
			b.say("built %s in %s", what, time.Since(start).Round(time.Second))
			return nil
		}
	}
}

func (b build) say(format string, args ...any) {
	if b.progress != nil {
		// Progress is for people; a build does not fail because nobody can read it.
		_, _ = fmt.Fprintf(b.progress, "linkspan rig: "+format+"\n", args...)
	}
}
