package nodes_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/linkspan/linkspan/test/nodes"
)

// Whoever asks for nodes and gets none must not believe that anything was tested.
func TestNodesThatCannotBeAreAFailure(t *testing.T) {
	const nobody = 65534
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestImageNames$") // nobody may not enter the folder it lies in
	cmd.Env = []string{nodes.EnvWanted + "=1", "PATH=" + os.Getenv("PATH")}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	said, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(said), "lacks: root") {
		t.Errorf("got %v, want a failure that says what is missing:\n%s", err, said)
	}
}
