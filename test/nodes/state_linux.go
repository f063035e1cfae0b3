package nodes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linkspan/linkspan/test/nodes/host"
	"github.com/linkspan/linkspan/test/rig"
)

const (
	// runPrefix begins the names of programs' folders, and of the control groups that have the same name.
	runPrefix = "linkspan-nodes-"
	fileLock  = "lock"
	fileKeep  = "keep" // is there when the folder is left for people
	// envRun tells where the program's folder is.
	envRun = "LINKSPAN_NODES_RUN"
	// unlockedFor is after what time a folder without a lock is no longer one that is just being made.
	unlockedFor = time.Hour
)

// run is the folder and the control group of a program, with all that it makes. Its lock is held as long as the program
// lives, by which the next one knows what is left over.
type run struct {
	dir  string
	name string
	lock int // no os.File, which would be closed when nobody refers to it any more
}

func newRun() (*run, error) {
	dir, err := os.MkdirTemp("", runPrefix)
	if err != nil {
		return nil, fmt.Errorf("make the folder of the nodes: %w", err)
	}
	r := &run{dir: dir, name: filepath.Base(dir)}
	if r.lock, err = takeLock(filepath.Join(dir, fileLock), unix.O_CREAT); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := r.fill(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *run) fill() error {
	if os.Getenv(rig.EnvKeep) != "" {
		if err := os.WriteFile(filepath.Join(r.dir, fileKeep), nil, 0o600); err != nil {
			return fmt.Errorf("mark the folder of the nodes: %w", err)
		}
	}
	if err := os.Mkdir(r.temporary(), 0o700); err != nil {
		return fmt.Errorf("make the folder for temporary files: %w", err)
	}
	if err := letThrough(r.dir, r.temporary()); err != nil {
		return err
	}
	return host.MakeCgroup(r.name)
}

// temporary is the program's folder for temporary files: its own and those of whatever it starts.
func (r *run) temporary() string { return filepath.Join(r.dir, "tmp") }

// close removes what must not stay.
func (r *run) close() error { return errors.Join(sweepOne(r.dir), unix.Close(r.lock)) }

// settle makes the folder of this program, in which everything else goes. It is removed outside, after the program's end.
func settle() error {
	r, err := newRun()
	if err != nil {
		return err
	}
	if err := errors.Join(os.Setenv(envRun, r.dir), os.Setenv("TMPDIR", r.temporary())); err != nil {
		return fmt.Errorf("tell of the folder of the nodes: %w", err)
	}
	return nil
}

// state is a fleet's folder and control group, within those of the program.
type state struct {
	dir  string
	name string
}

func newState() (*state, error) {
	parent := os.Getenv(envRun)
	dir, err := os.MkdirTemp(parent, "fleet-")
	if err != nil {
		return nil, fmt.Errorf("make the folder of the clusters: %w", err)
	}
	s := &state{dir: dir, name: filepath.Join(filepath.Base(parent), filepath.Base(dir))}
	if err := errors.Join(letThrough(dir), host.MakeCgroup(s.name)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// close removes what must not stay. The mounts below the folder are gone by then.
func (s *state) close() error {
	err := host.RemoveCgroup(s.name)
	if os.Getenv(rig.EnvKeep) == "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// whereLogsAre helps those whose clusters do not start.
func (s *state) whereLogsAre() string {
	if os.Getenv(rig.EnvKeep) == "" {
		return "all logs are kept with " + rig.EnvKeep + "=1"
	}
	return "all logs are below " + s.dir
}

// letThrough lets pods of other users look for their files below folders.
func letThrough(dirs ...string) error {
	for _, dir := range dirs {
		if err := os.Chmod(dir, 0o711); err != nil {
			return fmt.Errorf("open a folder of the nodes: %w", err)
		}
	}
	return nil
}

// takeLock fails when somebody else has it.
func takeLock(path string, flags int) (int, error) {
	file, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW|flags, 0o600)
	if err != nil {
		return 0, fmt.Errorf("open the lock of the nodes: %w", err)
	}
	if err := unix.Flock(file, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return 0, errors.Join(fmt.Errorf("take the lock of the nodes: %w", err), unix.Close(file))
	}
	return file, nil
}

// sweep removes what programs left that were killed. Everybody may make folders where these are, so that only our own
// user's are believed.
func sweep() error {
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), runPrefix+"*"))
	if err != nil {
		return fmt.Errorf("look for leftovers: %w", err)
	}
	var errs []error
	for _, dir := range folders {
		var stat unix.Stat_t
		if unix.Lstat(dir, &stat) != nil || stat.Mode&unix.S_IFMT != unix.S_IFDIR || int(stat.Uid) != os.Geteuid() {
			continue // gone, or not ours
		}
		lock, err := takeLock(filepath.Join(dir, fileLock), 0)
		switch {
		case errors.Is(err, unix.EWOULDBLOCK): // alive
		case errors.Is(err, fs.ErrNotExist):
			// Just being made, unless its program was killed at that.
			if time.Since(time.Unix(stat.Mtim.Unix())) > unlockedFor {
				errs = append(errs, sweepOne(dir))
			}
		case err != nil:
			errs = append(errs, err)
		default:
			errs = append(errs, sweepOne(dir), unix.Close(lock))
		}
	}
	return errors.Join(errs...)
}

// sweepOne removes the folder last: by it the control group is found that could not be removed this time.
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
