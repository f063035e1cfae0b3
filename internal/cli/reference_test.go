package cli

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/linkspan/linkspan/internal/gateway"
)

var updateReference = flag.Bool("update-reference", false, "write docs/flags.md instead of comparing it")

// docs/flags.md lists every command and flag: a flag without its line fails here (H8, DOC).
func TestFlagsReferenceIsCurrent(t *testing.T) {
	t.Setenv("LINKERD_NAMESPACE", "")
	root := newRootCommand(Streams{Out: io.Discard, Err: io.Discard}, full("dev"))
	var doc bytes.Buffer
	doc.WriteString("# Commands and flags\n\nGenerated from the code by `make generate` and compared in a test.\n")
	describeFlags(&doc, "Flags of every command of mirror", root.PersistentFlags())
	for _, cmd := range root.Commands() {
		describeCommand(&doc, cmd)
	}
	// The gateway is a program of its own, with no flags in common.
	for _, cmd := range gateway.NewCommand(gateway.Streams{Out: io.Discard, Err: io.Discard}, "dev", nil).Commands() {
		describeCommand(&doc, cmd)
	}
	const path = "../../docs/flags.md"
	if *updateReference {
		if err := os.WriteFile(path, doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), doc.String()); diff != "" {
		t.Errorf("docs/flags.md is not current; run make generate (-have +want):\n%s", diff)
	}
}

func describeCommand(doc *bytes.Buffer, cmd *cobra.Command) {
	if !cmd.IsAvailableCommand() || cmd.Name() == "completion" {
		return
	}
	fmt.Fprintf(doc, "\n## %s\n\n%s.\n", cmd.CommandPath(), strings.TrimSuffix(cmd.Short, "."))
	describeFlags(doc, "", cmd.LocalNonPersistentFlags())
}

func describeFlags(doc *bytes.Buffer, title string, flags *pflag.FlagSet) {
	if title != "" {
		fmt.Fprintf(doc, "\n## %s\n", title)
	}
	if !flags.HasAvailableFlags() {
		return
	}
	doc.WriteString("\n| Flag | Kind | Default | Meaning |\n| --- | --- | --- | --- |\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		value := ""
		if f.DefValue != "" && f.DefValue != "[]" {
			value = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(doc, "| %s | %s | %s | %s |\n", name, f.Value.Type(), value, strings.ReplaceAll(f.Usage, "|", `\|`))
	})
}
