package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/internal/install"
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

// Program is what a main is.
type Program struct {
	Version string
	// Charts are those inside it; nil in the program of the image, which runs the controller and installs nothing.
	Charts Charts
}

// Charts are what install, upgrade and prune render: those of package render.
type Charts interface {
	// Values merges what was given into base, which it does not change.
	Values(given install.Sources, base map[string]any, stdin io.Reader) (map[string]any, error)
	Render(settings install.Settings, namespace string) (install.Rendered, error)
	RenderCRDs(version, namespace string) ([]*unstructured.Unstructured, error)
	// DefaultValues is the text of the chart's values.
	DefaultValues() ([]byte, error)
}

// Main runs one command and gives the exit code.
func Main(ctx context.Context, streams Streams, program Program, args []string) int {
	root := newRootCommand(streams, program)
	root.SetArgs(normalizeArgs(root, args))
	if err := root.ExecuteContext(ctx); err != nil {
		if !errors.Is(err, errChecksFailed) { // what is wrong was said already
			streams.note("Error: %v", err)
		}
		return 1
	}
	return 0
}

func newRootCommand(streams Streams, program Program) *cobra.Command {
	globals, version := &globalOptions{}, program.Version
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
		newLinkCommand(streams, globals),
		newUninstallCommand(streams, globals),
		newUnlinkCommand(streams, globals),
		newVersionCommand(streams, globals, version),
	)
	if program.Charts == nil {
		root.AddCommand(missingCommand("install", version), missingCommand("upgrade", version), missingCommand("prune", version))
	} else {
		root.AddCommand(newInstallCommand(streams, program), newUpgradeCommand(streams, globals, program), newPruneCommand(streams, globals, program))
	}
	return root
}

// missingCommand stands for one that needs the charts, in a program without.
func missingCommand(name, version string) *cobra.Command {
	return &cobra.Command{
		Use: name, Hidden: true, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return fmt.Errorf("this is the program of the image, which has no charts inside: run mirror %s with the program of version %s for your own machine (make build), or use helm", name, version)
		},
	}
}
