package arguments

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// mistakes is how many letters may be wrong in a name that is still suggested.
const mistakes = 2

// None is for a command that takes flags only. It refuses what else there is, such as the value of a boolean flag
// that was set apart.
func None(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("unexpected argument %q: %s takes flags only, such as --name=value; see %s --help",
		args[0], cmd.CommandPath(), cmd.CommandPath())
}

// Command is for a command that does nothing but have others below it. It refuses what is none of them, and names
// those that are like it.
func Command(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = mistakes // as cobra does where it looks for a command itself
	}
	instead := "see " + cmd.CommandPath() + " --help"
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		instead = "did you mean " + strings.Join(like, " or ") + "?"
	}
	return fmt.Errorf("%s has no command %q: %s", cmd.CommandPath(), args[0], instead)
}
