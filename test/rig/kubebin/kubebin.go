package kubebin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

const (
	// DefaultMinor is the version that is tested when nothing else is asked for.
	DefaultMinor = "v1.36"

	// EnvMinor chooses the minor version, such as v1.34.
	EnvMinor = "LINKSPAN_KUBE"
	// EnvCache moves the cache folder away from the user's cache folder.
	EnvCache = "LINKSPAN_KUBE_CACHE"
	// EnvAssets names a folder of ready programs. It is the variable that envtest uses.
	EnvAssets = "KUBEBUILDER_ASSETS"

	modulePath = "github.com/linkspan/linkspan"
)

// Names of the programs in the folder that Ensure returns.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Kubectl           = "kubectl"
)

// Minor is the minor version that the environment asks for, else DefaultMinor.
func Minor() string {
	if minor := os.Getenv(EnvMinor); minor != "" {
		return minor
	}
	return DefaultMinor
}

// Ensure returns a folder that holds the programs of the given minor version ("" for Minor()).
// It takes KUBEBUILDER_ASSETS where that is set, else the cache, else it builds, which needs Go,
// a module proxy or a filled module cache, and some minutes. What it builds is told to progress.
func Ensure(ctx context.Context, minor string, progress io.Writer) (string, error) {
	if dir := os.Getenv(EnvAssets); dir != "" {
		if err := holds(dir, Etcd, APIServer); err != nil {
			return "", fmt.Errorf("%s: %w", EnvAssets, err)
		}
		return dir, nil
	}
	if minor == "" {
		minor = Minor()
	}
	module, version, cache, err := locate(minor)
	if err != nil {
		return "", err
	}
	return controlPlane(module, version, cache, progress).ensure(ctx)
}

// locate finds the tool module of a minor version, the exact version that it pins, and the folder of all builds.
func locate(minor string) (module, version, cache string, err error) {
	if module, err = toolModule(minor); err != nil {
		return "", "", "", err
	}
	if version, err = kubernetesVersion(module); err != nil {
		return "", "", "", err
	}
	cache, err = cacheRoot()
	return module, version, cache, err
}

func programs() []string {
	return []string{Etcd, APIServer, ControllerManager, Kubectl}
}

// holds says which of the programs is missing from a folder.
func holds(dir string, names ...string) error {
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("program %s: %w", name, err)
		}
		if info.IsDir() || info.Mode()&0o111 == 0 {
			return fmt.Errorf("program %s in %s cannot be executed", name, dir)
		}
	}
	return nil
}

func cacheRoot() (string, error) {
	if dir := os.Getenv(EnvCache); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache folder (set %s): %w", EnvCache, err)
	}
	return filepath.Join(dir, "linkspan", "kube"), nil
}

// toolModule is the folder of the tool module that pins a minor version.
func toolModule(minor string) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "hack", "kube", minor)
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return dir, nil
	}
	known, err := filepath.Glob(filepath.Join(root, "hack", "kube", "v*"))
	if err != nil {
		return "", fmt.Errorf("list pinned versions: %w", err)
	}
	for i := range known {
		known[i] = filepath.Base(known[i])
	}
	slices.Sort(known)
	return "", fmt.Errorf("kubernetes version %q is not pinned in hack/kube, choose one of %v in %s", minor, known, EnvMinor)
}

// ModuleRoot is the folder of this repository's go.mod, searched from the working folder upwards.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the working folder: %w", err)
	}
	for {
		path, err := moduleOf(filepath.Join(dir, "go.mod"))
		if err == nil && path == modulePath {
			return dir, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod of %s in the working folder or above it: run from a checkout, or set %s", modulePath, EnvAssets)
		}
		dir = parent
	}
}
