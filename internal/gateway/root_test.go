package gateway

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/go-logr/logr"
)

// command runs one command and gives what it printed.
func command(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	root := NewCommand(Streams{Out: &stdout, Err: &stderr}, "v1.2.3", func(logr.Logger) {})
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return stdout.String(), err
}

func TestVersionIsPrintedAloneOnStandardOutput(t *testing.T) {
	t.Parallel()
	if out, err := command(t, "version"); err != nil || out != "v1.2.3\n" {
		t.Errorf("printed %q, error %v", out, err)
	}
}

func TestHelpIsTheAnswerWithoutACommand(t *testing.T) {
	t.Parallel()
	out, err := command(t)
	if err != nil || !strings.Contains(out, "gateway [command]") || !strings.Contains(out, "egress") {
		t.Errorf("printed %q, error %v", out, err)
	}
}

func TestMainGivesTheExitCodeAndTheError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"a command that works":                     {args: []string{"version"}},
		"a command that is none":                   {args: []string{"ingres"}, code: 1, says: `gateway has no command "ingres": did you mean ingress?`},
		"a flag that is none":                      {args: []string{"egress", "--lane=3"}, code: 1, says: "--lane"},
		"the value of a boolean flag set apart":    {args: []string{"ingress", "--allow-clients-dry-run", "false"}, code: 1, says: `unexpected argument "false"`},
		"CERT-13: no certificates, and what to do": {args: []string{"ingress"}, code: 1, says: "--tls-cert is missing"},
	} {
		var stdout, stderr bytes.Buffer
		code := Main(t.Context(), Streams{Out: &stdout, Err: &stderr}, "v1", c.args)
		if code != c.code || !strings.Contains(stderr.String(), c.says) || code != 0 && stdout.Len() > 0 {
			t.Errorf("%s: code %d, printed %q and %q", name, code, &stdout, &stderr)
		}
	}
}

// failing is a writer to which nothing can be written.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestAVersionThatCannotBeWrittenIsAnError(t *testing.T) {
	t.Parallel()
	if code := Main(t.Context(), Streams{Out: failing{}, Err: &bytes.Buffer{}}, "v1", []string{"version"}); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}
