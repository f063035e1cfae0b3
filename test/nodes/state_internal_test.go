//go:build linux

package nodes

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A program that was killed leaves a folder and control groups. The next one removes them, and those of nobody else.
func TestLeftoversAreSwept(t *testing.T) {
	Need(t)
	t.Setenv("TMPDIR", t.TempDir())
	dead, err := newState()
	if err != nil {
		t.Fatal(err)
	}
	alive, err := newState()
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.lock.Close(); err != nil { // as the kernel does
		t.Fatal(err)
	}
	if err := sweep(); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{dead.dir, filepath.Join("/sys/fs/cgroup", "*", dead.name)} {
		if found, err := filepath.Glob(pattern); err != nil || len(found) > 0 && !dead.keep {
			t.Errorf("the dead one's is left: %q, %v", found, err)
		}
	}
	if _, err := os.Stat(filepath.Join(alive.dir, fileLock)); err != nil {
		t.Errorf("the other one's folder: %v", err)
	}
	if err := alive.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(alive.dir); !alive.keep && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its folder after its end: %v", err)
	}
}

func TestImageNames(t *testing.T) {
	for image, want := range map[string][2]string{
		"ghcr.io/linkspan/vote:v1":    {"vote", "v1"},
		"localhost:5000/vote:v1":      {"vote", "v1"},
		"vote:v1":                     {},
		"ghcr.io/linkspan/vote":       {},
		"localhost:5000/vote":         {},
		"docker.io/library/vote:v1.2": {"vote", "v1.2"},
	} {
		name, version, err := splitImage(image)
		if got := [2]string{name, version}; got != want || (err == nil) == (want == [2]string{}) {
			t.Errorf("%s: got %q, %v", image, got, err)
		}
	}
}
