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

// needed are the controllers that nodes cannot be without. Those in welcome are used where the machine offers them.
func needed() []string  { return []string{"cpu", "cpuset", "memory", "pids"} }
func welcome() []string { return []string{"io", "hugetlb"} }

// MakeCgroup makes a group with the controllers that nodes use.
func MakeCgroup(name string) error {
	roots, err := CgroupRoots()
	if err != nil {
		return err
	}
	if !Unified() {
		if err := offers(roots); err != nil {
			return err
		}
	}
	for _, root := range roots {
		if err := makeCgroup(root, name); err != nil {
			return fmt.Errorf("make the control group %s: %w", name, err)
		}
	}
	return nil
}

// offers is about cgroup v1, where each controller has a folder, or shares one, such as cpu,cpuacct.
func offers(roots []string) error {
	var offered []string
	for _, root := range roots {
		offered = append(offered, strings.Split(filepath.Base(root), ",")...)
	}
	return lacks(cgroups, offered)
}

// lacks names the controllers that nodes need and that a place does not offer.
func lacks(place string, offered []string) error {
	missing := slices.DeleteFunc(needed(), func(name string) bool { return slices.Contains(offered, name) })
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%s has no controller %s: turn it on in the kernel's command line, such as by cgroup_enable=memory",
		place, strings.Join(missing, ", "))
}

func makeCgroup(root, name string) error {
	if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
		return err
	}
	// From the top down, each group hands on what the one above has.
	at := root
	for part := range strings.SplitSeq(name, "/") {
		child := filepath.Join(at, part)
		var err error
		if Unified() {
			err = handOn(at)
		} else {
			err = handOnPlaces(at, child)
		}
		if err != nil {
			return err
		}
		at = child
	}
	return nil
}

// handOnPlaces gives a new group of cgroup v1 the processors and the memory without which it cannot be used.
func handOnPlaces(parent, child string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(parent, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(child, file), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// handOn lets the groups below one of cgroup v2 have the controllers that nodes use, and no others: what is written to the
// machine's own group stays there.
func handOn(parent string) error {
	offered, err := fieldsOf(parent, "cgroup.controllers")
	if err != nil {
		return err
	}
	if err := lacks(parent, offered); err != nil {
		return err
	}
	on, err := fieldsOf(parent, "cgroup.subtree_control")
	if err != nil {
		return err
	}
	for _, controller := range append(needed(), welcome()...) {
		if slices.Contains(on, controller) || !slices.Contains(offered, controller) {
			continue
		}
		err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
		if errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("hand the controller %s on: %w: processes are in %s itself; in a container, run it with the machine's "+
				"namespace of control groups (docker run --cgroupns=host), or move them to a group below", controller, err, parent)
		}
		if err != nil {
			return fmt.Errorf("hand the controller %s on: %w", controller, err)
		}
	}
	return nil
}

func fieldsOf(group, file string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(group, file))
	return strings.Fields(string(text)), err
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
