package rig_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/linkspan/linkspan/test/rig"
)

// envProgram makes the test binary behave like a program such as the demo.
const envProgram = "LINKSPAN_RIG_TEST_PROGRAM"

// program serves a gateway of its namespace to users outside, until it is told to end.
func program() int {
	err := func() (err error) {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		isolated, err := rig.Isolate(ctx, rig.Isolation{Listen: []string{"127.0.0.1:0"}})
		if err != nil {
			return err
		}
		if isolated.Outside {
			return fmt.Errorf("exit %d", isolated.ExitCode)
		}
		gateway, err := rig.NewGateway("203.0.113.1:80", "from inside")
		if err != nil {
			return err
		}
		door := rig.ServeProxy(isolated.Listeners[0], gateway.Address())
		fmt.Println(door.Address())
		<-ctx.Done()
		return errors.Join(door.Close(), gateway.Close(), errors.New("told to end"))
	}()
	fmt.Println(err)
	return 7
}

// Users outside the namespace reach it through listeners that are handed in; signals are passed on.
func TestIsolateHandsListenersIn(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envProgram+"=1")
	cmd.Stderr = t.Output()
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(output)
	address, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	status, body, err := get(t.Context(), "http://"+strings.TrimSpace(address))
	if err != nil || status != http.StatusOK || body != "from inside" {
		t.Errorf("through the inherited listener: got %d %q %v, want 200 from inside", status, body, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	// The inner program ends because of the signal, the outer one passes its exit code on.
	if got, want := string(rest), "told to end\nexit 7\n"; got != want {
		t.Errorf("last words: got %q, want %q", got, want)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("exit: %v, want code 7", err)
	}
}
