//go:build linux

package nodes

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linkspan/linkspan/test/nodes/host"
	"github.com/linkspan/linkspan/test/rig"
)

// A program that was killed leaves a folder and control groups. The next one removes them, and those of nobody else.
func TestLeftoversAreSwept(t *testing.T) {
	Need(t)
	t.Setenv("TMPDIR", t.TempDir())
	dead, alive := newTestRun(t), newTestRun(t)
	t.Setenv(envRun, dead.dir)
	fleet, err := newState()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(dead.lock); err != nil { // as the kernel does
		t.Fatal(err)
	}
	if err := sweep(); err != nil {
		t.Fatal(err)
	}
	for _, path := range append(groups(dead.name), dead.dir) {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the dead one's is left, with %s: %s, %v", fleet.name, path, err)
		}
	}
	if _, err := os.Stat(filepath.Join(alive.dir, fileLock)); err != nil {
		t.Errorf("the other one's folder: %v", err)
	}
	if err := alive.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(alive.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its folder after its end: %v", err)
	}
}

func newTestRun(t *testing.T) *run {
	t.Helper()
	t.Setenv(rig.EnvKeep, "")
	made, err := newRun()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range groups(made.name) {
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("nothing is shown by a group that was never there: %v", err)
		}
	}
	return made
}

// groups are where a control group is, on a machine with cgroup v2 and on others.
func groups(name string) []string {
	if host.Unified() {
		return []string{filepath.Join("/sys/fs/cgroup", name)}
	}
	return []string{filepath.Join("/sys/fs/cgroup/memory", name), filepath.Join("/sys/fs/cgroup/pids", name)}
}

// Everything that a program makes for a while, images and keys among it, lies where it is swept if the program is killed.
func TestTemporaryFilesAreSwept(t *testing.T) {
	Need(t)
	if dir := filepath.Dir(filepath.Dir(t.TempDir())); !strings.Contains(dir, runPrefix) {
		t.Errorf("temporary files are in %s", dir)
	}
}

// Everybody may make folders in the system's one for temporary files. Root must not follow links in them, and not remove
// what is another user's.
func TestSweepLeavesWhatOthersMade(t *testing.T) {
	Need(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	const nobody = 65534
	victim := filepath.Join(dir, "victim")
	others, linked := filepath.Join(dir, runPrefix+"others"), filepath.Join(dir, runPrefix+"linked")
	for _, err := range []error{
		os.Mkdir(others, 0o755), os.WriteFile(filepath.Join(others, fileLock), nil, 0o600), os.Chown(others, nobody, nobody),
		os.Mkdir(linked, 0o755), os.Symlink(victim, filepath.Join(linked, fileLock)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := sweep(); err == nil {
		t.Error("a link in place of a lock is no news")
	}
	if _, err := os.Stat(victim); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("root made a file that another user named: %v", err)
	}
	if _, err := os.Stat(others); err != nil {
		t.Errorf("another user's folder: %v", err)
	}
}

// A folder that has had no lock for long is one whose program was killed just then.
func TestFoldersWithoutLockAreSweptInTheEnd(t *testing.T) {
	Need(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	young, old := filepath.Join(dir, runPrefix+"young"), filepath.Join(dir, runPrefix+"old")
	then := time.Now().Add(-2 * unlockedFor)
	for _, err := range []error{os.Mkdir(young, 0o700), os.Mkdir(old, 0o700), os.Chtimes(old, then, then), sweep()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("one that is just being made: %v", err)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that nobody makes any more: %v", err)
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
