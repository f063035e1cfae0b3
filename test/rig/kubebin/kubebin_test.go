package kubebin

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPinnedVersions(t *testing.T) {
	root, err := ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	modules, err := filepath.Glob(filepath.Join(root, "hack", "kube", "v*"))
	if err != nil || len(modules) < 2 {
		t.Fatalf("pinned versions: %v, %v; want at least two", modules, err)
	}
	for _, module := range modules {
		version, err := kubernetesVersion(module)
		if err != nil {
			t.Error(err)
			continue
		}
		major, minor, err := majorMinor(version)
		if err != nil {
			t.Error(err)
		}
		if got, want := "v"+major+"."+minor, filepath.Base(module); got != want {
			t.Errorf("%s pins Kubernetes %s", want, version)
		}
	}
}

func TestEnsureNamesTheKnownVersions(t *testing.T) {
	t.Setenv(EnvAssets, "")
	_, err := Ensure(t.Context(), "v0.1", t.Output())
	if err == nil || !strings.Contains(err.Error(), DefaultMinor) || !strings.Contains(err.Error(), EnvMinor) {
		t.Errorf("got error %v, want one that names %s and %s", err, DefaultMinor, EnvMinor)
	}
}

func TestEnsureTakesAssets(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(EnvAssets, dir)
	if _, err := Ensure(t.Context(), "", t.Output()); err == nil || !strings.Contains(err.Error(), Etcd) {
		t.Errorf("got error %v, want one that names the missing program", err)
	}
	fill(t, dir, Etcd, APIServer)
	if got, err := Ensure(t.Context(), "", t.Output()); err != nil || got != dir {
		t.Errorf("got %q, %v, want the assets", got, err)
	}
}

func TestEnsureTakesTheCache(t *testing.T) {
	cache := t.TempDir()
	t.Setenv(EnvAssets, "")
	t.Setenv(EnvCache, cache)
	module, err := toolModule(DefaultMinor)
	if err != nil {
		t.Fatal(err)
	}
	version, err := kubernetesVersion(module)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, version)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fill(t, dir, programs()...)
	if got, err := Ensure(t.Context(), DefaultMinor, t.Output()); err != nil || got != dir {
		t.Errorf("got %q, %v, want the cache entry %q", got, err, dir)
	}
}

func TestLockExcludes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, func() {})
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan struct{})
	taken := make(chan error, 1)
	go func() {
		unlock, err := lock(t.Context(), path, func() { close(waiting) })
		if err == nil {
			err = unlock()
		}
		taken <- err
	}()
	<-waiting
	select {
	case err := <-taken:
		t.Fatalf("the lock was taken twice (%v)", err)
	default:
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, path, func() {}); err == nil {
		t.Error("the lock was taken while held")
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-taken; err != nil {
		t.Error(err)
	}
}

func fill(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
