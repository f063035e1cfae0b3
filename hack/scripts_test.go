package hack_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// script runs a copy of a script of this checkout where it finds no other programs than those given, each a script as well,
// and a few that only move text. It gives the exit code and all output.
func script(t *testing.T, path string, programs map[string]string, env ...string) (int, string) {
	t.Helper()
	checkout, bin := t.TempDir(), t.TempDir()
	text, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{filepath.Join(checkout, path): string(text)}
	for name, program := range programs {
		if !strings.Contains(name, "/") {
			name = filepath.Join(bin, name)
		} else {
			name = filepath.Join(checkout, name)
		}
		files[name] = "#!/bin/sh\n" + program + "\n"
	}
	for name, text := range files {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o755)); err != nil { //nolint:gosec // programs
			t.Fatal(err)
		}
	}
	for _, plain := range []string{"sh", "bash", "cat", "chmod", "dirname", "getconf", "mktemp", "rm", "tail", "tee", "timeout"} {
		found, err := exec.LookPath(plain)
		if err != nil {
			t.Skip(err)
		}
		if err := os.Symlink(found, filepath.Join(bin, plain)); err != nil {
			t.Fatal(err)
		}
	}
	shell := "sh"
	if strings.Contains(string(text[:bytes.IndexByte(text, '\n')]), "bash") {
		shell = "bash"
	}
	return run(t, append([]string{"PATH=" + bin, "TMPDIR=" + t.TempDir()}, env...), shell, filepath.Join(checkout, path))
}

// run gives the exit code and all output of a command.
func run(t *testing.T, env []string, name string, args ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", name, err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// show is what go builds: it says whether there can be nodes, and starts some.
const show = `cat > $3 <<'END'
#!/bin/sh
case $1 in
-check) [ -z "$LACKS" ] || { echo "show: it lacks: $LACKS" >&2; exit 1; } ;;
-exit) exit ${START:-0} ;;
esac
END
chmod +x $3`

// Continuous integration is green only when all that the machine can run was run and is well (INST-15).
func TestWhatContinuousIntegrationTakesForAFailure(t *testing.T) {
	programs := map[string]string{
		"hack/nodes/setup": `exit ${SETUP:-0}`,
		"cc":               "", "git": "echo v0",
		"make": `echo "make $* nodes=$LINKSPAN_NODES"; [ "$1" != "$BREAKS" ]`,
		"go": `case "$1 $2" in
"env CC") echo cc ;;
"run ./test/nodes/show") [ -z "$LACKS" ] && exit ${START:-0}; echo "exit status 1" >&2; exit 1 ;;
"build -o") [ -z "$NOSHOW" ] || exit 1; ` + show + ` ;;
esac`,
	}
	for name, c := range map[string]struct {
		env   []string
		code  int
		says  string
		never string
	}{
		"all is well":                          {says: "make e2e-core nodes="},
		"the oldest Kubernetes is tested":      {says: "make test-min-core nodes="},
		"the oldest Kubernetes takes it not":   {env: []string{"BREAKS=test-min-core"}, code: 1, says: "make e2e-core"},
		"no nodes on this machine":             {env: []string{"LACKS=root", "SETUP=1"}, says: "e2e          -  not run: show: it lacks: root", never: "make e2e-core"},
		"no nodes where there must be some":    {env: []string{"LACKS=root", "LINKSPAN_NODES=1"}, code: 1, says: "not run: show: it lacks: root"},
		"nodes can be, and do not start":       {env: []string{"START=3"}, code: 1, says: "FAILED: exit status 3"},
		"nobody can ask whether nodes can be":  {env: []string{"NOSHOW=1"}, code: 1, says: "FAILED: exit status 1"},
		"a scenario fails":                     {env: []string{"BREAKS=e2e-core"}, code: 1, says: "FAILED"},
		"no time is left":                      {env: []string{"SECONDS=3600"}, code: 1, says: "not run: out of time"},
		"little time is left":                  {env: []string{"SECONDS=2000"}, says: "make e2e-core"},
		"the steps before do not start nodes":  {env: []string{"LINKSPAN_NODES=1"}, says: "make verify nodes=\n", never: "nodes=1"},
		"what setup lacks is told by the next": {env: []string{"SETUP=1"}, says: "make e2e-core"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out := script(t, ".ci/run", programs, c.env...)
			if code != c.code || !strings.Contains(out, c.says) || c.never != "" && strings.Contains(out, c.never) {
				t.Errorf("exit code %d, want %d, and %q, and not %q:\n%s", code, c.code, c.says, c.never, out)
			}
		})
	}
}

// What is missing for nodes is installed where that can be, and named where it cannot; who is not root is told that first.
func TestWhatNodesNeedIsInstalledOrNamed(t *testing.T) {
	with := func(more map[string]string) map[string]string {
		all := map[string]string{
			"id": "echo ${ME:-0}", "go": "echo cc", "cc": "exit ${NO_HEADERS:-0}", "nft": "", "ip": "", "mount": "",
		}
		for name, program := range more {
			if all[name] = program; program == "-" {
				delete(all, name)
			}
		}
		return all
	}
	apt := `echo "apt-get $*"`
	for name, c := range map[string]struct {
		programs map[string]string
		env      []string
		code     int
		says     string
	}{
		"all is there":                  {programs: with(nil)},
		"not root, and all is there":    {programs: with(nil), env: []string{"ME=1000"}, code: 1, says: "run this as root"},
		"not root, and nft is not seen": {programs: with(map[string]string{"nft": "-"}), env: []string{"ME=1000"}, code: 1, says: "run this as root"},
		"a compiler without headers": {
			programs: with(map[string]string{"apt-get": apt}), env: []string{"NO_HEADERS=1"}, says: "--no-install-recommends gcc libc6-dev",
		},
		"it says what it installs": {
			programs: with(map[string]string{"apt-get": apt, "nft": "-"}), says: "lacks: nft; installing the packages nftables\napt-get update",
		},
		"no Debian": {
			programs: with(map[string]string{"mount": "-", "ip": "-"}), code: 1, says: "lacks: ip, mount; install that",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out := script(t, "hack/nodes/setup", c.programs, c.env...)
			if code != c.code || !strings.Contains(out, c.says) || c.says == "" && out != "" {
				t.Errorf("exit code %d, want %d, and %q:\n%s", code, c.code, c.says, out)
			}
		})
	}
}

// make's targets of scenarios run what they promise, for as long as they promise it.
func TestTargetsOfScenarios(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip(err)
	}
	for name, c := range map[string]struct {
		args  []string
		says  []string
		never string
	}{
		"make e2e":                        {[]string{"e2e"}, []string{"LINKSPAN_NODES=1", "-p 1 ", "-timeout 60m ", "-run '.' -skip ''", "./test/nodes/..."}, "test/nodes/scenarios"},
		"make e2e-core leaves faults out": {[]string{"e2e-core"}, []string{"LINKSPAN_E2E=core", "-skip 'TestFaults'", "./test/nodes/..."}, ""},
		"KEEP=1 keeps for as long as it is wanted what is installed": {[]string{"e2e", "KEEP=1"}, []string{
			"LINKSPAN_E2E_KEEP=1", "-timeout 0 ", "-run 'TestEveryVoteCountsOnce'", "./test/nodes/scenarios"}, "..."},
		"KEEP=1 of a scenario that I name": {[]string{"e2e", "KEEP=1", "RUN=TestIScrape"}, []string{"-run 'TestIScrape'"}, ""},
		"help names them":                  {[]string{"help"}, []string{"\n  e2e ", "\n  e2e-core ", "\n  test-min-core "}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dry := "--dry-run"
			if c.args[0] == "help" {
				dry = "--silent"
			}
			// Nothing of a make that runs this test.
			code, out := run(t, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, "make", append([]string{"-C", "..", dry}, c.args...)...)
			for _, word := range c.says {
				if code != 0 || !strings.Contains(out, word) {
					t.Errorf("exit code %d, does not say %q:\n%s", code, word, out)
				}
			}
			if c.never != "" && strings.Contains(out, c.never) {
				t.Errorf("it says %q:\n%s", c.never, out)
			}
		})
	}
}
