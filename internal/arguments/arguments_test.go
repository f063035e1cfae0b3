package arguments

import (
	"testing"

	"github.com/spf13/cobra"
)

func TestArgumentsThatACommandDoesNotTake(t *testing.T) {
	t.Parallel()
	root := &cobra.Command{Use: "gateway"}
	run := func(*cobra.Command, []string) {}
	ingress := &cobra.Command{Use: "ingress", Run: run}
	root.AddCommand(ingress, &cobra.Command{Use: "egress", Run: run})
	for name, c := range map[string]struct {
		check cobra.PositionalArgs
		cmd   *cobra.Command
		args  []string
		want  string
	}{
		"no argument":                  {None, ingress, nil, ""},
		"no command":                   {Command, root, nil, ""},
		"a value that was set apart":   {None, ingress, []string{"false"}, `unexpected argument "false": gateway ingress takes flags only, such as --name=value; see gateway ingress --help`},
		"a command that is mistyped":   {Command, root, []string{"ingerss"}, `gateway has no command "ingerss": did you mean ingress?`},
		"a command like two others":    {Command, root, []string{"iegress"}, `gateway has no command "iegress": did you mean ingress or egress?`},
		"a command that is quite else": {Command, root, []string{"frobnicate", "x"}, `gateway has no command "frobnicate": see gateway --help`},
	} {
		got := ""
		if err := c.check(c.cmd, c.args); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
