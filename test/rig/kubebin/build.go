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

// build is one run of the Go tool over a tool module.
type build struct {
	module   string
	version  string
	cache    string
	target   string
	progress io.Writer
}

// run builds into a temporary folder and renames it, under a lock that other processes wait for.
func (b build) run(ctx context.Context) (err error) {
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return fmt.Errorf("make the cache folder: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(b.cache, b.version+".lock"), func() {
		b.say("another process is building Kubernetes %s, waiting for it", b.version)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	if holds(b.target, programs()...) == nil {
		return nil // built while we waited
	}
	if err := b.sweep(); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(b.cache, b.version+"-build-")
	if err != nil {
		return fmt.Errorf("make a build folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	if err := os.Chmod(temp, 0o755); err != nil {
		return fmt.Errorf("open the build folder to others: %w", err)
	}

	b.say("building Kubernetes %s and etcd from source: about 6 minutes on 2 cores, once", b.version)
	if err := b.compile(ctx, temp); err != nil {
		return err
	}
	// A folder that lacks a program is a leftover of an older list of programs.
	if err := os.RemoveAll(b.target); err != nil {
		return fmt.Errorf("remove an incomplete cache entry: %w", err)
	}
	if err := os.Rename(temp, b.target); err != nil {
		return fmt.Errorf("publish the build: %w", err)
	}
	return nil
}

// sweep removes what builds of this version left that were killed. The lock is held, so none is alive.
func (b build) sweep() error {
	left, err := filepath.Glob(filepath.Join(b.cache, b.version+"-build-*"))
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

// compile keeps its flags stable on purpose: Go's build cache is keyed by them.
func (b build) compile(ctx context.Context, dir string) error {
	major, minor, err := majorMinor(b.version)
	if err != nil {
		return err
	}
	const version = "k8s.io/component-base/version"
	flags := fmt.Sprintf("-s -w -X %s.gitVersion=%s -X %s.gitMajor=%s -X %s.gitMinor=%s",
		version, b.version, version, major, version, minor)
	err = b.goBuild(ctx, "Kubernetes "+b.version, "-ldflags", flags, "-o", dir+string(filepath.Separator),
		"k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes/cmd/kube-controller-manager", "k8s.io/kubernetes/cmd/kubectl")
	if err != nil {
		return err
	}
	return b.goBuild(ctx, "etcd", "-ldflags", "-s -w", "-o", filepath.Join(dir, Etcd), "go.etcd.io/etcd/server/v3")
}

func (b build) goBuild(ctx context.Context, what string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath"}, args...)...)
	cmd.Dir = b.module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off", "GOOS=", "GOARCH=")
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
