package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// pollInterval is how often a starting process is asked whether it is ready. It tells nobody by itself.
	pollInterval = 25 * time.Millisecond
	// stopPatience is how long a process may take to end when asked politely.
	stopPatience = 10 * time.Second
	// logTail is how much of a log an error message quotes.
	logTail = 2000
)

// Process is a child in a process group of its own, which the kernel kills when we die.
type Process struct {
	name    string
	cmd     *exec.Cmd
	logPath string
	done    chan struct{}
	err     error // valid once done is closed
}

// Start starts a program whose output is appended to <dir>/<name>.log. Its environment is ours and env.
// A child lives in the namespaces of the thread that starts it.
func Start(dir, name, program string, args []string, env ...string) (*Process, error) {
	logPath := filepath.Join(dir, name+".log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = Attributes()
	startErr := cmd.Start()
	if err := errors.Join(startErr, log.Close()); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{name: name, cmd: cmd, logPath: logPath, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// WaitReady asks again and again until ready returns nil or the process ends.
func (p *Process) WaitReady(ctx context.Context, ready func(context.Context) error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		last := ready(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.Ended()
		case <-ctx.Done():
			return fmt.Errorf("%s does not get there: %w: %w\n%s", p.name, ctx.Err(), last, p.Tail())
		case <-tick.C:
		}
	}
}

// exit describes how the process ended, also when it ended well.
func (p *Process) exit() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// PID is the process id, also after the end.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Running says whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Ended is nil while the process runs, and tells then how it ended, with the end of its log.
func (p *Process) Ended() error {
	if p.Running() {
		return nil
	}
	return fmt.Errorf("%s has ended: %w\n%s", p.name, p.exit(), p.Tail())
}

// Signal sends a signal to the whole process group.
func (p *Process) Signal(s syscall.Signal) error {
	if !p.Running() {
		return fmt.Errorf("%s is not running", p.name)
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, s); err != nil {
		return fmt.Errorf("send %v to %s: %w", s, p.name, err)
	}
	return nil
}

// Freeze returns when no thread of the process runs any more.
func (p *Process) Freeze() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	return p.WaitReady(ctx, func(context.Context) error { return Halted(p.cmd.Process.Pid) })
}

// Stop asks the process to end, and kills it when it does not in time.
func (p *Process) Stop() error {
	if !p.Running() {
		return nil
	}
	// A frozen process would not hear the request.
	err := errors.Join(p.Signal(syscall.SIGCONT), p.Signal(syscall.SIGTERM))
	if err != nil && p.Running() {
		return err
	}
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-p.done:
		return nil
	case <-patience.C:
		return p.Kill()
	}
}

// Kill ends the process at once and waits until it is gone.
func (p *Process) Kill() error {
	if !p.Running() {
		return nil
	}
	if err := p.Signal(syscall.SIGKILL); err != nil && p.Running() {
		return err
	}
	<-p.done
	return nil
}

// Tail is the end of the log, for error messages.
func (p *Process) Tail() string {
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		return err.Error()
	}
	text = text[max(0, len(text)-logTail):]
	return "end of " + p.name + ".log:\n" + strings.TrimSpace(string(text))
}
