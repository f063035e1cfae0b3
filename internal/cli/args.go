package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// normalizeArgs joins a boolean flag with a value that follows it, so that --gateway false means
// what it says (LINK-6): pflag would read it as --gateway=true and a stray argument.
func normalizeArgs(root *cobra.Command, args []string) []string {
	var out []string
	cmd := root
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(out, args[i:]...)
		}
		out = append(out, arg)
		flag := findFlag(cmd, arg)
		switch {
		case flag == nil:
			cmd = descend(cmd, arg)
		case strings.Contains(arg, "=") || i+1 == len(args):
			// The value is there already, or is missing, which pflag reports.
		case flag.Value.Type() != "bool":
			if takesNext(flag, arg) {
				i++
				out = append(out, args[i])
			}
		case isBool(args[i+1]):
			i++
			out[len(out)-1] = arg + "=" + args[i]
		}
	}
	return out
}

// findFlag is the flag that an argument names, nil when it names none that cmd has.
func findFlag(cmd *cobra.Command, arg string) *pflag.Flag {
	if name, ok := strings.CutPrefix(arg, "--"); ok {
		name, _, _ = strings.Cut(name, "=")
		return cmd.Flag(name)
	}
	if len(arg) < 2 || arg[0] != '-' {
		return nil
	}
	short := arg[1:2]
	if flag := cmd.Flags().ShorthandLookup(short); flag != nil {
		return flag
	}
	return cmd.InheritedFlags().ShorthandLookup(short)
}

// takesNext says whether the value of a flag that is not boolean is the next argument: not when it
// may be left out, nor when it is glued to a one-letter name (-ojson).
func takesNext(flag *pflag.Flag, arg string) bool {
	return flag.NoOptDefVal == "" && (strings.HasPrefix(arg, "--") || len(arg) == 2)
}

func descend(cmd *cobra.Command, arg string) *cobra.Command {
	for _, sub := range cmd.Commands() {
		if sub.Name() == arg || sub.HasAlias(arg) {
			return sub
		}
	}
	return cmd
}

func isBool(s string) bool {
	_, err := strconv.ParseBool(s)
	return err == nil
}
