package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// stopPatience is how long a process may take to end.
const stopPatience = 15 * time.Second

// process is one that this program started.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error // valid once done is closed
}

// command says what to start.
type command struct {
	name    string
	program string
	args    []string
	env     []string
	// log is the file that standard output and error go to. prepare may take standard output away.
	log     string
	prepare func(*exec.Cmd) error
}

// start starts a process, which stop ends, in order.
func start(ctx context.Context, c command) (*process, error) {
	p := &process{name: c.name, log: c.log, done: make(chan struct{})}
	log, err := os.Create(c.log)
	if err != nil {
		return nil, fmt.Errorf("making the log of %s: %w", c.name, err)
	}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), c.program, c.args...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = append(os.Environ(), c.env...), log, log
	p.cmd.SysProcAttr = childAttributes()
	if c.prepare != nil {
		err = c.prepare(p.cmd)
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err := errors.Join(err, log.Close()); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// whileRunning is a context that ends when one of the processes does, with its log as the cause.
func whileRunning(ctx context.Context, all ...*process) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	for _, p := range all {
		go func() {
			select {
			case <-p.done:
				cancel(fmt.Errorf("%s ended: %w", p.name, errors.Join(p.err, p.tail())))
			case <-ctx.Done():
			}
		}()
	}
	return ctx, func() { cancel(nil) }
}

// stop ends a process and waits for it. It does not matter how it ends, if it does when it is told to.
func (p *process) stop() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.name, err)
	}
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-p.done:
		return nil
	case <-patience.C:
		err := p.cmd.Process.Kill()
		<-p.done
		return errors.Join(fmt.Errorf("%s did not end within %s", p.name, stopPatience), err, p.tail())
	}
}

// logTail is how much of a log an error quotes.
const logTail = 3000

func (p *process) tail() error {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err
	}
	return errors.New("end of its log:\n" + strings.TrimSpace(string(text[max(0, len(text)-logTail):])))
}

// poll asks until there is no error, or patience is over. The last error says what is missing.
func poll(ctx context.Context, patience time.Duration, ask func(context.Context) error) error {
	const interval = 20 * time.Millisecond
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := ask(limited)
		if err == nil {
			return nil
		}
		if pause(limited, interval) != nil {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// pause is for what is measured over a time, and between two questions.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
