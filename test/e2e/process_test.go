package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linkspan/linkspan/test/rig"
)

const (
	// endPatience is for a process that has nothing left to wait for.
	endPatience = 15 * time.Second
	// logTail is how much of a log is shown when a test fails.
	logTail = 4000
)

// process is a program of the product's. It may be started again after its end; its files go on.
type process struct {
	name string
	path string
	args []string
	// out has what it writes to standard output, log the rest.
	out, log string

	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	err   error         // how, once ended is closed
	// told is set when its end was the test's wish.
	told bool
}

func newProcess(dir, name, path string, args ...string) *process {
	return &process{name: name, path: path, args: args, out: filepath.Join(dir, name+".out"), log: filepath.Join(dir, name+".log")}
}

func (p *process) start(t *testing.T) {
	t.Helper()
	out, err := os.OpenFile(p.out, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }() // the process has its own
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the same
	p.cmd = exec.Command(p.path, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = out, log
	// A program with the race detector else waits for a second before it ends.
	p.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "KUBECONFIG=")
	p.cmd.SysProcAttr = rig.ChildAttributes()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	cmd, ended := p.cmd, make(chan struct{})
	p.ended, p.told = ended, false
	go func() {
		defer close(ended)
		p.err = cmd.Wait()
	}()
}

func (p *process) running() bool {
	if p.ended == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("send %v to %s: %v", s, p.name, err)
	}
}

// terminate tells a process to end, as a kubelet does. It does not wait.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	p.told = true
	p.signal(t, syscall.SIGTERM)
}

// awaitEnd wants a process that was told to end to end well.
func (p *process) awaitEnd(t *testing.T, patience time.Duration) {
	t.Helper()
	select {
	case <-p.ended:
		if p.err != nil {
			t.Errorf("%s was told to end: %v, want a good end", p.name, p.err)
		}
	case <-time.After(patience):
		t.Errorf("%s did not end within %v of being told to", p.name, patience)
		p.kill(t)
	}
}

// kill ends a process at once and waits until it is gone.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.told = true
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("kill %s: %v", p.name, err)
	}
	<-p.ended
}

// freeze returns when no thread of the process runs any more.
func (p *process) freeze(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
	expectSoon(t, func() error { return rig.Halted(p.cmd.Process.Pid) })
}

func (p *process) thaw(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGCONT)
}

// finish ends processes at the end of a test, and tells what was wrong with them.
func finish(t *testing.T, processes []*process) {
	t.Helper()
	for _, p := range processes {
		switch {
		case !p.running():
			if !p.told {
				t.Errorf("%s has ended by itself: %v", p.name, p.err)
			}
		case t.Failed():
			p.kill(t)
		default:
			p.terminate(t)
		}
	}
	for _, p := range processes {
		if p.running() {
			p.awaitEnd(t, endPatience)
		}
	}
	for _, p := range processes {
		p.examine(t)
	}
}

// examine looks for what must not be in a log, and shows the ends of logs of a test that failed.
func (p *process) examine(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(p.log)
	if err != nil {
		t.Error(err)
		return
	}
	text := string(data)
	for _, bad := range []string{"WARNING: DATA RACE", "panic: "} {
		if at := strings.Index(text, bad); at >= 0 {
			t.Errorf("the log of %s: %s", p.name, text[at:min(len(text), at+logTail)])
		}
	}
	if t.Failed() {
		t.Logf("the log of %s ends with:\n%s", p.name, text[max(0, len(text)-logTail):])
	}
}

// command runs a program to its end and gives what it printed.
func command(t *testing.T, path string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "KUBECONFIG=")
	cmd.SysProcAttr = rig.ChildAttributes()
	var notes strings.Builder
	cmd.Stderr = &notes
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(path), strings.Join(args, " "), err, notes.String())
	}
	return string(out)
}
