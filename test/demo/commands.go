package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	programMirror  = "mirror"
	programGateway = "gateway"
	programKubectl = "kubectl"

	// stopPatience is how long a process may take to end.
	stopPatience = 20 * time.Second
	// logTail is how many lines of each process's log a failure shows.
	logTail = 10
	// waitPatience and waitInterval are for what no watch can tell.
	waitPatience = 30 * time.Second
	waitInterval = 10 * time.Millisecond
)

// shell runs the real commands and shows them. It is the environment that they run in.
type shell struct {
	tell     *teller
	dir      string            // where commands run
	programs map[string]string // name to absolute path
	env      []string
}

func newShell(tell *teller, dir string, programs map[string]string, kubeconfigs ...string) *shell {
	return &shell{
		tell:     tell,
		dir:      dir,
		programs: programs,
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
	cmd.Env, cmd.Dir = s.env, s.dir
	cmd.SysProcAttr = childAttributes()
	return cmd, nil
}

// output says where a background command writes, as paths in the folder that it runs in. Without out,
// everything is in log.
type output struct{ out, log string }

// String is what a shell calls it.
func (o output) String() string {
	if o.out == "" {
		return "2> " + o.log
	}
	return "> " + o.out + " 2> " + o.log
}

// background is a command that runs beside the story.
type background struct {
	name     string
	log      string // path
	cmd      *exec.Cmd
	stopping chan struct{} // closed when it is told to stop
	done     chan struct{} // closed when it has ended
	err      error         // how it ended when told to, valid once done is closed
}

// show shows a command that start is to run.
func (s *shell) show(line string, to output) { s.tell.longCommand(line + " " + to.String() + " &") }

// start runs a command whose output goes to files, until stop. When it ends before that, lost is told
// why. What such a command wrote before is kept.
func (s *shell) start(line string, to output, lost func(error)) (*background, error) {
	words := strings.Fields(line)
	// It must outlive the story's context, to be ended in order.
	cmd, err := s.command(context.Background(), words)
	if err != nil {
		return nil, err
	}
	b := &background{
		name: nameOf(words), log: filepath.Join(s.dir, to.log), cmd: cmd,
		stopping: make(chan struct{}), done: make(chan struct{}),
	}
	if err := s.startInto(cmd, to); err != nil {
		return nil, fmt.Errorf("start %s: %w", b.name, err)
	}
	go b.wait(lost)
	return b, nil
}

// startInto starts a command whose output is added to files.
func (s *shell) startInto(cmd *exec.Cmd, to output) error {
	log, err := s.appendTo(to.log)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // nothing was written to it here, and the process has its own
	cmd.Stdout, cmd.Stderr = log, log
	if to.out != "" {
		out, err := s.appendTo(to.out)
		if err != nil {
			return err
		}
		defer func() { _ = out.Close() }() // the same
		cmd.Stdout = out
	}
	return cmd.Start()
}

func (s *shell) appendTo(name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// nameOf is a command line without its flags.
func nameOf(words []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(words), func(word string) bool { return strings.HasPrefix(word, "-") }), " ")
}

func (b *background) wait(lost func(error)) {
	defer close(b.done)
	b.err = b.cmd.Wait()
	select {
	case <-b.stopping:
	default:
		lost(fmt.Errorf("%s: expected it to run on, it ended: %w", b.name, ended(b.err)))
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
			return fmt.Errorf("%s: expected it to end well: %w", b.name, b.err)
		}
		return nil
	case <-patience.C:
		_ = b.cmd.Process.Kill() // fails only when it has ended just now
		<-b.done
		return fmt.Errorf("%s: expected it to end within %s of being told to, so it was killed", b.name, stopPatience)
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

// soon asks again and again until it hears no error.
func soon(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, waitPatience)
	defer cancel()
	tick := time.NewTicker(waitInterval)
	defer tick.Stop()
	for {
		last := ask(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), last)
		case <-tick.C:
		}
	}
}
