package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// Environment of the program's second run, inside the namespace.
const (
	envInside    = "LINKSPAN_RIG_INSIDE"
	envPrograms  = "LINKSPAN_RIG_PROGRAMS"
	envListeners = "LINKSPAN_RIG_LISTENERS"
)

// EnvEntry names the environment variable that has, in a program that Isolation.Machine isolated, the process id by which
// people outside get in: nsenter --target PID --net --mount --pid.
const EnvEntry = "LINKSPAN_RIG_ENTRY"

// Values of envInside: the program itself, or the first process of a namespace of processes, which starts it.
const (
	insideProgram = "program"
	insideInit    = "init"
)

// Networks inside the namespace. Test addresses, which no real network uses.
const (
	// clusterNetwork holds the addresses of API servers and of proxies before them.
	clusterNetwork = "198.51.100."
	// firstInherited is the number of the first file that a program inherits beside stdin, stdout and stderr.
	firstInherited = 3
)

// Isolation says what an isolated program needs from outside.
type Isolation struct {
	// Listen are TCP addresses outside the namespace, such as 127.0.0.1:0, that the program inside
	// gets as Isolated.Listeners, in the same order.
	Listen []string
	// Machine isolates mounts and processes too, for which it needs root: what is mounted inside cannot be seen
	// outside, /run is empty, and when the program ends so does everything that was started in it, whoever
	// started that.
	Machine bool
	// Progress is told about builds, os.Stderr when nil.
	Progress io.Writer
}

// Isolated is one of two things: the program inside the namespace, or the one outside, whose work is done.
type Isolated struct {
	// Outside is true in the first run, after the second one has ended.
	Outside bool
	// ExitCode is how the second run ended.
	ExitCode int
	// Listeners are open to users outside.
	Listeners []net.Listener
}

// Isolate runs the program again in a network namespace of its own, as root or as anybody where user
// namespaces are allowed. Call it before anything else:
//
//	isolated, err := rig.Isolate(ctx, rig.Isolation{})
//	if err != nil { … }
//	if isolated.Outside { os.Exit(isolated.ExitCode) }
//
// The outer run passes signals on and waits. The Kubernetes programs are built outside, where there
// is a network to download modules from.
func Isolate(ctx context.Context, want Isolation) (*Isolated, error) {
	switch os.Getenv(envInside) {
	case insideProgram:
		return enter()
	case insideInit:
		code, err := beInit()
		return &Isolated{Outside: true, ExitCode: code}, err
	}
	progress := want.Progress
	if progress == nil {
		progress = os.Stderr
	}
	programs, err := kubebin.Ensure(ctx, "", progress)
	if err != nil {
		return nil, err
	}
	files, err := openListeners(want.Listen)
	if err != nil {
		return nil, err
	}
	code, err := runInside(want.Machine, programs, files)
	for _, file := range files {
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return nil, err
	}
	return &Isolated{Outside: true, ExitCode: code}, nil
}

// enter sets up the namespace that the first run made, and takes over its listeners.
func enter() (*Isolated, error) {
	if err := setUpNetwork(); err != nil {
		return nil, fmt.Errorf("set up the network namespace: %w", err)
	}
	files, err := inherited()
	if err != nil {
		return nil, err
	}
	isolated := &Isolated{}
	for i, file := range files {
		listener, err := net.FileListener(file)
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, fmt.Errorf("take over listener %d: %w", i, err)
		}
		isolated.Listeners = append(isolated.Listeners, listener)
	}
	// Programs that this one starts and that isolate themselves must do so again.
	if err := os.Unsetenv(envInside); err != nil {
		return nil, err
	}
	return isolated, nil
}

// inherited are the files beside stdin, stdout and stderr.
func inherited() ([]*os.File, error) {
	count, err := strconv.Atoi(os.Getenv(envListeners))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", envListeners, err)
	}
	files := make([]*os.File, count)
	for i := range files {
		files[i] = os.NewFile(uintptr(firstInherited+i), "listener")
	}
	return files, nil
}

func openListeners(addresses []string) (files []*os.File, err error) {
	for _, address := range addresses {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("listen for users outside: %w", err)
		}
		tcp, ok := listener.(*net.TCPListener)
		if !ok {
			return nil, fmt.Errorf("listen on %s: not TCP", address)
		}
		file, err := tcp.File()
		if err := errors.Join(err, listener.Close()); err != nil {
			return nil, fmt.Errorf("keep the listener on %s: %w", address, err)
		}
		files = append(files, file)
	}
	return files, nil
}

// runInside tries each way of making a namespace that may work for this user.
func runInside(machine bool, programs string, files []*os.File) (int, error) {
	ways, role := namespaceAttributes(), insideProgram
	if machine {
		ways, role = machineAttributes(), insideInit
	}
	var refused []error
	for _, attributes := range ways {
		cmd, err := secondRun(role, programs, files)
		if err != nil {
			return 0, err
		}
		cmd.SysProcAttr = attributes
		err = cmd.Start()
		if err == nil {
			return waitInside(cmd)
		}
		refused = append(refused, err)
	}
	return 0, fmt.Errorf("make a network namespace: %w (needs root, or user namespaces for everybody: sysctl user.max_user_namespaces > 0 and no restriction by AppArmor or seccomp)", errors.Join(refused...))
}

func secondRun(role, programs string, files []*os.File) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = files
	cmd.Env = append(os.Environ(), envInside+"="+role, envPrograms+"="+programs, envListeners+"="+strconv.Itoa(len(files)))
	return cmd, nil
}

// waitInside passes signals on, so that Ctrl-C and go test's timeout reach the program that matters.
func waitInside(cmd *exec.Cmd) (int, error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP)
	defer signal.Stop(signals)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			// It may have ended just now; then done says so next.
			_ = cmd.Process.Signal(s)
		case err := <-done:
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				return 0, fmt.Errorf("wait for the isolated program: %w", err)
			}
			return exitCode(cmd.ProcessState), nil
		}
	}
}

// exitCode is never 0 for a program that a signal ended.
func exitCode(state *os.ProcessState) int {
	if code := state.ExitCode(); code >= 0 {
		return code
	}
	return 1
}
