package nodes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/linkspan/linkspan/test/nodes/host"
	"github.com/linkspan/linkspan/test/rig"
)

const (
	// statePrefix begins the names of state folders, and of the control groups that have the same name.
	statePrefix = "linkspan-nodes-"
	fileLock    = "lock"
	fileKeep    = "keep" // is there when the folder is left for people
)

// state is a fleet's folder and control group. Its lock is held as long as the program lives, by which the next one
// knows what is left over.
type state struct {
	dir  string
	name string
	lock *os.File
	keep bool
}

func newState() (*state, error) {
	dir, err := os.MkdirTemp("", statePrefix)
	if err != nil {
		return nil, fmt.Errorf("make the folder of the nodes: %w", err)
	}
	s := &state{dir: dir, name: filepath.Base(dir), keep: os.Getenv(rig.EnvKeep) != ""}
	if s.lock, err = takeLock(filepath.Join(dir, fileLock)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if s.keep {
		if err := os.WriteFile(filepath.Join(dir, fileKeep), nil, 0o600); err != nil {
			return nil, fmt.Errorf("mark the folder of the nodes: %w", err)
		}
	}
	if err := os.Chmod(dir, 0o711); err != nil { // pods of other users look for their files below it
		return nil, fmt.Errorf("open the folder of the nodes: %w", err)
	}
	return s, host.MakeCgroup(s.name)
}

// takeLock fails when somebody else has it.
func takeLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the nodes: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("take the lock of the nodes: %w", err), file.Close())
	}
	return file, nil
}

// close removes what must not stay. The mounts below the folder are gone by then.
func (s *state) close() error {
	err := host.RemoveCgroup(s.name)
	if !s.keep {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return errors.Join(err, s.lock.Close())
}

// sweep removes what programs left that were killed.
func sweep() error {
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), statePrefix+"*"))
	if err != nil {
		return fmt.Errorf("look for leftovers: %w", err)
	}
	var errs []error
	for _, dir := range folders {
		if _, err := os.Stat(filepath.Join(dir, fileLock)); errors.Is(err, fs.ErrNotExist) {
			continue // just being made
		}
		lock, err := takeLock(filepath.Join(dir, fileLock))
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue // alive
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, sweepOne(dir), lock.Close())
	}
	return errors.Join(errs...)
}

func sweepOne(dir string) error {
	if err := host.RemoveCgroup(filepath.Base(dir)); err != nil {
		return fmt.Errorf("remove the leftover of %s: %w", dir, err)
	}
	if _, err := os.Stat(filepath.Join(dir, fileKeep)); err == nil {
		return nil
	}
	if mounted, err := os.ReadFile("/proc/self/mountinfo"); err == nil && strings.Contains(string(mounted), " "+dir+"/") {
		return fmt.Errorf("there are mounts below %s", dir)
	}
	return os.RemoveAll(dir)
}
