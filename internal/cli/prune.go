package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/internal/installed"
	"github.com/linkspan/linkspan/pkg/link"
)

type pruneOptions struct {
	namespace string
	output    manifestOutput
}

func newPruneCommand(streams Streams, globals *globalOptions, program Program) *cobra.Command {
	o := &pruneOptions{}
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Print the objects of an installation that this version and its values have no use for",
		Long: `Print the objects of an installation that this version and its values have no use for.

Run it when the output of mirror upgrade is applied, with the same version; it refuses while part of that
is missing. Mirrors are not among them: see mirror unlink --orphans for those.`,
		Example: "  mirror prune | kubectl delete -f -",
		Args:    arguments.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, globals, program)
		},
	}
	cmd.Flags().StringVar(&o.namespace, "namespace", link.DefaultNamespace, "namespace of the installation")
	o.output.bind(cmd.Flags())
	return cmd
}

func (o *pruneOptions) run(ctx context.Context, streams Streams, globals *globalOptions, program Program) error {
	if err := errors.Join(validateNamespace("--namespace", o.namespace), o.output.validate()); err != nil {
		return err
	}
	cluster, err := globals.installations(streams)
	if err != nil {
		return err
	}
	settings, err := cluster.Settings(ctx, o.namespace)
	if err != nil {
		return err
	}
	if settings.Version != program.Version {
		// What another version renders may still be in use.
		return fmt.Errorf("version %s is installed, and this is %s: apply the output of mirror upgrade first, or use the program of that version", settings.Version, program.Version)
	}
	rendered, err := program.Charts.Render(settings, o.namespace)
	if err != nil {
		return err
	}
	owned, err := cluster.Owned(ctx, o.namespace)
	if err != nil {
		return err
	}
	if missing := installed.Unapplied(owned, rendered); len(missing) > 0 {
		// kubectl goes on after an error, so the settings may be there without the rest.
		return fmt.Errorf("not all of version %s is applied (%s), and what is not needed any more may still be in use: apply the output of mirror upgrade first",
			program.Version, names(missing))
	}
	rest := installed.Superfluous(owned, rendered)
	if len(rest) == 0 {
		streams.note("There is nothing to prune.")
		return nil
	}
	return o.output.write(streams, asReferences(rest))
}
