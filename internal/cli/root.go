package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/linkspan/linkspan/internal/arguments"
)

// Streams are where a command reads and writes.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// note explains something to the reader, on standard error so that a pipe stays clean.
func (s Streams) note(format string, args ...any) {
	// An explanation that cannot be written must not fail the command.
	_, _ = fmt.Fprintf(s.Err, format+"\n", args...)
}

// Main runs one command and gives the exit code.
func Main(ctx context.Context, streams Streams, version string, args []string) int {
	root := newRootCommand(streams, version)
	root.SetArgs(normalizeArgs(root, args))
	if err := root.ExecuteContext(ctx); err != nil {
		if !errors.Is(err, errChecksFailed) { // what is wrong was said already
			streams.note("Error: %v", err)
		}
		return 1
	}
	return 0
}

func newRootCommand(streams Streams, version string) *cobra.Command {
	globals := &globalOptions{}
	root := &cobra.Command{
		Use:   "mirror",
		Short: "Link Kubernetes clusters and mirror services between them",
		Long: `Link Kubernetes clusters and mirror services between them.

A link goes one way: made from the target cluster and applied in the source cluster, it lets the
source see what the target exports. Commands print manifests and never change a cluster.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          arguments.Command,
		// Without a command, and with no argument that could be a mistyped one, the help is the answer.
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	globals.bind(root.PersistentFlags())
	root.AddCommand(
		newAllowCommand(streams),
		newCheckCommand(streams, globals, version),
		newControllerCommand(streams, globals, version),
		newExtensionMetadataCommand(streams),
		newGatewaysCommand(streams, globals),
		newInstallCommand(streams, version),
		newLinkCommand(streams, globals),
		newPruneCommand(streams, globals, version),
		newUninstallCommand(streams, globals),
		newUnlinkCommand(streams, globals),
		newUpgradeCommand(streams, globals, version),
		newVersionCommand(streams, globals, version),
	)
	return root
}
