package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Attributes put a child into its own process group, so that Ctrl-C reaches only us and we
// stop it in order, and let the kernel kill it when we die. The kernel means the thread that made
// the child; the Go runtime ends only threads that a goroutine died on while locked to them. What is
// started on such a thread, as by network.Namespace of test/nodes, has to end before that goroutine.
func Attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// Halted says whether every thread of a process has stopped: SIGSTOP reaches threads that run on
// another processor a moment later.
func Halted(pid int) error {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return fmt.Errorf("list the threads of process %d: %w", pid, err)
	}
	if len(stats) == 0 {
		return fmt.Errorf("process %d is gone", pid)
	}
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			return fmt.Errorf("read the state of a thread: %w", err)
		}
		// The state follows the name, which stands in brackets and may hold any character.
		_, after, _ := strings.Cut(string(text[max(0, bytes.LastIndexByte(text, ')')):]), ") ")
		if !strings.HasPrefix(after, "T") {
			return fmt.Errorf("thread %s still runs", filepath.Base(filepath.Dir(stat)))
		}
	}
	return nil
}
