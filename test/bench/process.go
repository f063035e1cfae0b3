package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopPatience is how long the controller may take to end.
const stopPatience = 30 * time.Second

// usage is what a process used.
type usage struct {
	cpu time.Duration
	// resident and peak are memory in MiB.
	resident, peak float64
}

// process is a running `mirror controller`.
type process struct {
	cmd     *exec.Cmd
	started time.Time
	admin   string
	log     string
	done    chan struct{}
	err     error // valid once done is closed
}

// startController starts the controller as an operator would: leader election on, logs at warn.
func (w *world) startController(ctx context.Context, name string) (*process, error) {
	admin, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	args := []string{
		"controller", "--kubeconfig", w.kubeconfig, "--namespace", linksNamespace, "--leader-elect",
		"--admin-address", admin, "--workers", strconv.Itoa(w.opts.workers), "--log-level", "warn",
		"--gateway-clients", "mesh",
	}
	program, environment := w.program, os.Environ()
	if w.opts.profile != "" {
		if program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("finding this program: %w", err)
		}
		if err := os.MkdirAll(w.opts.profile, 0o755); err != nil {
			return nil, fmt.Errorf("making the folder of profiles: %w", err)
		}
		environment = append(environment, envProfile+"="+filepath.Join(w.opts.profile, name))
	}
	p := &process{admin: admin, log: w.file(name + ".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("making the controller's log: %w", err)
	}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), program, args...) // stop ends it, in order
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = environment, log, log
	p.cmd.SysProcAttr = childAttributes()
	p.started = time.Now()
	if err := errors.Join(p.cmd.Start(), log.Close()); err != nil {
		return nil, fmt.Errorf("starting the controller: %w", err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// freeAddress is a loopback address that nobody listens on. Nothing else in this network namespace
// takes one before the controller does.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// whileRunning is a context that ends when the controller does, with its log as the cause.
func (p *process) whileRunning(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-p.done:
			cancel(fmt.Errorf("the controller ended: %w\n%s", p.err, p.tail()))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

func (p *process) usage() (usage, error) { return readUsage(p.cmd.Process.Pid) }

// stop ends the controller and waits for it. A second call does nothing.
func (p *process) stop() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping the controller: %w", err)
	}
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-p.done:
	case <-patience.C:
		err := p.cmd.Process.Kill()
		<-p.done
		return errors.Join(fmt.Errorf("the controller did not end within %s", stopPatience), err)
	}
	if p.err != nil {
		return fmt.Errorf("the controller ended: %w\n%s", p.err, p.tail())
	}
	return nil
}

// logTail is how much of the controller's log an error quotes.
const logTail = 3000

func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return "end of its log:\n" + strings.TrimSpace(string(text[max(0, len(text)-logTail):]))
}

// metric reads one metric of the linked cluster, whose name is not a part of another's; known is
// false while the controller does not export it.
func (p *process) metric(ctx context.Context, name string) (value float64, known bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+"/metrics", nil)
	if err != nil {
		return 0, false, fmt.Errorf("asking for metrics: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, false, fmt.Errorf("asking for metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		series, text, found := strings.Cut(lines.Text(), "} ")
		if !found || !strings.HasPrefix(series, name+"{") {
			continue
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, false, fmt.Errorf("reading metric %s: %w", name, err)
		}
		return value, true, nil
	}
	return 0, false, lines.Err()
}
