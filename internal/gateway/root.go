package gateway

import (
	"context"
	"fmt"
	"io"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/linkspan/linkspan/internal/arguments"
)

// Streams are where a command writes. Results, and the access log, go to Out; the log and errors to Err.
type Streams struct {
	Out io.Writer
	Err io.Writer
}

// Main runs one command and gives the exit code. Client-go has but one logger in a process, which
// becomes that of the command.
func Main(ctx context.Context, streams Streams, version string, args []string) int {
	root := NewCommand(streams, version, klog.SetLogger)
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintf(streams.Err, "Error: %v\n", err) // there is nowhere else to say it
		return 1
	}
	return 0
}

// NewCommand makes the root command. adopt is given the logger of the command that runs, before
// anything else starts.
func NewCommand(streams Streams, version string, adopt func(logr.Logger)) *cobra.Command {
	root := &cobra.Command{
		Use:   "gateway",
		Short: "Carry streams between clusters over mutual TLS",
		Long: `Carry streams between clusters over mutual TLS.

The ingress runs in the cluster that exports services, the egress in the cluster that calls them.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          arguments.Command,
		// Without a command, and with no argument that could be a mistyped one, the help is the answer.
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.AddCommand(
		newIngressCommand(streams, version, adopt),
		newEgressCommand(streams, version, adopt),
		newIdleCommand(),
		newVersionCommand(streams, version),
	)
	return root
}

func newVersionCommand(streams Streams, version string) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this command",
		Args:  arguments.None,
		RunE: func(*cobra.Command, []string) error {
			if _, err := fmt.Fprintln(streams.Out, version); err != nil {
				return fmt.Errorf("writing the version: %w", err)
			}
			return nil
		},
	}
}
