package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// envPrograms names the folder of the programs in the environment of the run inside the network namespace.
const envPrograms = "LINKSPAN_E2E_PROGRAMS"

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the programs once, in the first run, and then has the tests run in a network namespace.
func run(m *testing.M) int {
	if os.Getenv(envPrograms) == "" {
		dir, err := build()
		if err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }() // it lies in the system's folder for such things
	}
	return rig.Main(m)
}

func build() (dir string, err error) {
	root, err := kubebin.ModuleRoot()
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp("", "linkspan-e2e-"); err != nil {
		return "", fmt.Errorf("make a folder for the programs: %w", err)
	}
	cmd := exec.Command("go", "build", "-race", "-o", dir, "./cmd/mirror", "./cmd/controller", "./cmd/gateway")
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir) // the build's error is the one to tell
		return "", fmt.Errorf("build the programs: %w\n%s", err, text)
	}
	return dir, os.Setenv(envPrograms, dir)
}

func program(name string) string { return filepath.Join(os.Getenv(envPrograms), name) }

// scenario is something that the gateway promises. It is played in a world of its own.
type scenario struct {
	name string
	play func(*testing.T, *world)
}

// long are scenarios that wait most of the time, and are played side by side.
func long() []scenario {
	return []scenario{
		{"when the other end is gone without a word, streams end with an error and new ones go elsewhere", playSilence},
		{"gateways are restarted one after the other, and nobody notices", playRollingRestart},
		{"certificates are replaced under load, up to the trust anchor", playRotation},
	}
}

// short are played beside these, one after the other: some measure how long things take.
func short() []scenario {
	return []scenario{
		{"what goes through the mirror reaches the application unchanged, and only while it is allowed", playThroughTheMirror},
		{"a half of the gateway that is killed cuts its streams, and a gateway that is dead fails at once", playCrash},
		{"addresses of the gateway that do not answer cost no request", playDeadAddresses},
	}
}

func TestGateway(t *testing.T) {
	clusters := rig.New(t, rig.ClusterOptions{Name: "west"}, rig.ClusterOptions{Name: "east", ServiceCIDRs: []string{eastServices}, SkipCRDs: true})
	west, east := clusters[0], clusters[1]
	play := func(s scenario, number int) {
		t.Run(s.name, func(t *testing.T) { s.play(t, newWorld(t, west, east, number)) })
	}
	// Not t.Parallel: it would let no more run than there are processors.
	var playing sync.WaitGroup
	for i, s := range long() {
		playing.Go(func() { play(s, i) })
	}
	for i, s := range short() {
		play(s, len(long())+i)
	}
	playing.Wait()
	t.Run("no process asks for more than its account may have", func(t *testing.T) { checkAudit(t, west, east) })
}
