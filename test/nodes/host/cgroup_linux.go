package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	cgroups = "/sys/fs/cgroup"
	// removalPatience is how long killed processes may still be counted as members of their group.
	removalPatience = 10 * time.Second
	removalRetry    = 20 * time.Millisecond
)

// CgroupRoots are the folders in which a group has to be made: one for each controller, or a single one with cgroup v2.
func CgroupRoots() ([]string, error) {
	if Unified() {
		return []string{cgroups}, nil
	}
	entries, err := os.ReadDir(cgroups)
	if err != nil {
		return nil, fmt.Errorf("list the controllers of control groups: %w", err)
	}
	var roots []string
	for _, entry := range entries {
		if entry.IsDir() { // not the links from cpu to cpu,cpuacct
			roots = append(roots, filepath.Join(cgroups, entry.Name()))
		}
	}
	return roots, nil
}

// Unified says whether the machine has cgroup v2 alone.
func Unified() bool {
	var stat unix.Statfs_t
	return unix.Statfs(cgroups, &stat) == nil && stat.Type == unix.CGROUP2_SUPER_MAGIC
}

// MakeCgroup makes a group with every controller that the machine has.
func MakeCgroup(name string) error {
	roots, err := CgroupRoots()
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := makeCgroup(root, name); err != nil {
			return fmt.Errorf("make the control group %s: %w", name, err)
		}
	}
	return nil
}

func makeCgroup(root, name string) error {
	if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
		return err
	}
	// From the top down, each group hands on what the one above has.
	at := root
	for part := range strings.SplitSeq(name, "/") {
		if err := handOn(at, filepath.Join(at, part)); err != nil {
			return err
		}
		at = filepath.Join(at, part)
	}
	return nil
}

// handOn gives a new group what it cannot be used without.
func handOn(parent, child string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // cgroup v1
		value, err := os.ReadFile(filepath.Join(parent, file))
		if errors.Is(err, fs.ErrNotExist) || Unified() {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(child, file), value, 0o644); err != nil {
			return err
		}
	}
	if !Unified() {
		return nil
	}
	controllers, err := os.ReadFile(filepath.Join(parent, "cgroup.controllers"))
	if err != nil {
		return err
	}
	var all []string
	for controller := range strings.FieldsSeq(string(controllers)) {
		all = append(all, "+"+controller)
	}
	return os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte(strings.Join(all, " ")), 0o644)
}

// RemoveCgroup removes a group and all below it. What was in them must have been killed.
func RemoveCgroup(name string) error {
	roots, err := CgroupRoots()
	if err != nil {
		return err
	}
	var errs []error
	for _, root := range roots {
		if err := removeTree(filepath.Join(root, name)); err != nil {
			errs = append(errs, fmt.Errorf("remove the control group %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// removeTree removes folders from the innermost outwards: their files cannot be removed, and need not be.
func removeTree(top string) error {
	var folders []string
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, folder := range slices.Backward(folders) {
		if err := removeFolder(folder); err != nil {
			return err
		}
	}
	return nil
}

func removeFolder(folder string) error {
	patience := time.NewTimer(removalPatience)
	defer patience.Stop()
	retry := time.NewTicker(removalRetry)
	defer retry.Stop()
	for {
		err := unix.Rmdir(folder)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		select {
		case <-patience.C:
			return fmt.Errorf("%s: %w", folder, err)
		case <-retry.C:
		}
	}
}

// killCgroup kills what is in a group and below it, until nothing is.
func killCgroup(name string) error {
	roots, err := CgroupRoots()
	if err != nil {
		return err
	}
	patience := time.NewTimer(removalPatience)
	defer patience.Stop()
	retry := time.NewTicker(removalRetry)
	defer retry.Stop()
	for {
		found, err := killOnce(roots, name)
		if err != nil || found == 0 {
			return err
		}
		select {
		case <-patience.C:
			return fmt.Errorf("%d processes of the control group %s do not end", found, name)
		case <-retry.C:
		}
	}
}

// killOnce returns how many processes it found. A process is in one group of each controller.
func killOnce(roots []string, name string) (found int, err error) {
	for _, root := range roots {
		err := filepath.WalkDir(filepath.Join(root, name), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && !entry.IsDir() {
				return nil
			}
			if err != nil {
				return err
			}
			killed, err := killMembers(path)
			found += killed
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return found, nil
}

// killMembers kills what is in one group, and in none below it.
func killMembers(group string) (killed int, err error) {
	text, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if err != nil {
		return 0, nil //nolint:nilerr // the group has gone
	}
	for line := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(line)
		if err != nil || pid <= 0 { // and killing 0 would kill ourselves
			return 0, fmt.Errorf("the control group %s has the process %q, which is outside the rig", group, line)
		}
		killed++
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return 0, fmt.Errorf("kill process %d of %s: %w", pid, group, err)
		}
	}
	return killed, nil
}
