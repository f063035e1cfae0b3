package main

import (
	"bytes"
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
	programMirror  = "mirror"
	programKubectl = "kubectl"

	// stopPatience is how long the controller may take to end.
	stopPatience = 20 * time.Second
	// logTail is how many lines of the controller's log a failure shows.
	logTail = 15
)

// shell runs the real commands and shows them. It is the environment that they run in.
type shell struct {
	tell     *teller
	programs map[string]string // name to path
	env      []string
}

func newShell(tell *teller, mirror, kubectl, dir string, kubeconfigs ...string) *shell {
	return &shell{
		tell:     tell,
		programs: map[string]string{programMirror: mirror, programKubectl: kubectl},
		env: append(os.Environ(),
			"KUBECONFIG="+strings.Join(kubeconfigs, string(os.PathListSeparator)),
			"KUBECACHEDIR="+filepath.Join(dir, "kubectl-cache")),
	}
}

// run shows and runs a command line such as "mirror allow | kubectl apply -f -". Each command runs
// only when the one before it succeeded, unlike in a real shell. Words are split at blanks. It
// returns what the last command printed.
func (s *shell) run(ctx context.Context, line string) (string, error) {
	s.tell.command(line)
	var stdout []byte
	for part := range strings.SplitSeq(line, "|") {
		var notes []byte
		var err error
		stdout, notes, err = s.exec(ctx, strings.Fields(part), stdout)
		s.tell.notes(string(notes))
		if err != nil {
			return "", fmt.Errorf("%s: expected it to succeed: %w", strings.TrimSpace(part), err)
		}
	}
	s.tell.output(string(stdout))
	return string(stdout), nil
}

func (s *shell) exec(ctx context.Context, words []string, stdin []byte) (stdout, stderr []byte, err error) {
	cmd, err := s.command(ctx, words)
	if err != nil {
		return nil, nil, err
	}
	var out, notes bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &notes
	err = cmd.Run()
	return out.Bytes(), notes.Bytes(), err
}

func (s *shell) command(ctx context.Context, words []string) (*exec.Cmd, error) {
	path, ok := s.programs[words[0]]
	if !ok {
		return nil, fmt.Errorf("the demo has no program %s", words[0])
	}
	cmd := exec.CommandContext(ctx, path, words[1:]...)
	cmd.Env = s.env
	cmd.SysProcAttr = childAttributes()
	return cmd, nil
}

// background is a command that runs beside the story.
type background struct {
	line     string
	log      string
	cmd      *exec.Cmd
	stopping chan struct{} // closed when it is told to stop
	done     chan struct{} // closed when it has ended
	err      error         // how it ended when told to, valid once done is closed
}

// start runs a command whose output goes to a file, until stop. When it ends before that, lost is
// told why.
func (s *shell) start(line, logPath string, lost func(error)) (*background, error) {
	s.tell.command(line + " 2> " + logPath + " &")
	// It must outlive the story's context, to be ended in order.
	cmd, err := s.command(context.Background(), strings.Fields(line))
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", line, err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	startErr := cmd.Start()
	if err := errors.Join(startErr, log.Close()); err != nil {
		return nil, fmt.Errorf("start %s: %w", line, err)
	}
	b := &background{line: line, log: logPath, cmd: cmd, stopping: make(chan struct{}), done: make(chan struct{})}
	go b.wait(lost)
	return b, nil
}

func (b *background) wait(lost func(error)) {
	defer close(b.done)
	b.err = b.cmd.Wait()
	select {
	case <-b.stopping:
	default:
		lost(fmt.Errorf("%s: expected it to run on, it ended: %w", b.line, ended(b.err)))
		b.err = nil // told, and not to be told again
	}
}

// ended is an error also for a program that ended well.
func ended(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// stop ends the command as Ctrl-C would, and fails when it does not end well and soon.
func (b *background) stop() error {
	close(b.stopping)
	// It may be gone already; then its end says so.
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-b.done:
		if b.err != nil {
			return fmt.Errorf("%s: expected it to end well: %w", b.line, b.err)
		}
		return nil
	case <-patience.C:
		_ = b.cmd.Process.Kill() // fails only when it has ended just now
		<-b.done
		return fmt.Errorf("%s: expected it to end within %s of being told to, so it was killed", b.line, stopPatience)
	}
}

// tail is the end of the log.
func (b *background) tail() string {
	text, err := os.ReadFile(b.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-logTail):], "\n")
}
