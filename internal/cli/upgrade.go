package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/internal/install"
	"github.com/linkspan/linkspan/internal/installed"
	"github.com/linkspan/linkspan/pkg/link"
)

type upgradeOptions struct {
	settingsFlags
	namespace   string
	resetValues bool
	output      manifestOutput
}

func (o *upgradeOptions) bind(fs *pflag.FlagSet) {
	o.settingsFlags.bind(fs)
	fs.StringVar(&o.namespace, "namespace", link.DefaultNamespace, "namespace of the installation")
	fs.BoolVar(&o.resetValues, "reset-values", false, "forget --ha and the values given before, and take only those given now; --skip-crds and --create-namespace stay")
	o.output.bind(fs)
}

func (o *upgradeOptions) validate() error {
	return errors.Join(validateNamespace("--namespace", o.namespace), o.output.validate())
}

func newUpgradeCommand(streams Streams, globals *globalOptions, program Program) *cobra.Command {
	o := &upgradeOptions{}
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Print what to apply to bring an installation to this version, or to change its values",
		Long: `Print what to apply to bring an installation to this version, or to change its values.

It reads the values that mirror install kept, and puts those given now over them; defaults are those of
this version. What is not needed any more stays until it is deleted: mirror prune prints it.

It refuses if any of its objects exists and belongs to a release of Helm's.`,
		Example: `  mirror upgrade | kubectl apply -f -
  mirror upgrade --set controller.logLevel=debug | kubectl apply -f -`,
		Args: arguments.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, globals, program)
		},
	}
	o.bind(cmd.Flags())
	return cmd
}

func (o *upgradeOptions) run(ctx context.Context, streams Streams, globals *globalOptions, program Program) error {
	if err := o.validate(); err != nil {
		return err
	}
	cluster, err := globals.installations(streams)
	if err != nil {
		return err
	}
	settings, warning, err := o.settings(ctx, streams, cluster, program)
	if err != nil {
		return err
	}
	rendered, err := program.Charts.Render(settings, o.namespace)
	if err != nil {
		return err
	}
	if err := o.checkHelm(ctx, cluster, rendered); err != nil {
		return err
	}
	owned, err := cluster.Owned(ctx, o.namespace)
	if err != nil {
		return err
	}
	if warning != "" {
		streams.note("%s", warning) // before a pipe applies it
	}
	if err := o.output.write(streams, asObjects(rendered.Objects)); err != nil {
		return err
	}
	o.explain(streams, settings, installed.Superfluous(owned, rendered), program.Version)
	explainInstalled(streams, settings, o.namespace, rendered)
	return nil
}

// explain says what does not follow from the upgrade by itself.
func (o *upgradeOptions) explain(streams Streams, settings install.Settings, rest []*metav1.PartialObjectMetadata, version string) {
	if tag := settings.ImageTag(); tag != "" && tag != version {
		streams.note("Images stay at %s, because image.tag says so; --set image.tag= takes those of %s.", tag, version)
	}
	if len(rest) > 0 {
		streams.note("Not needed any more: %s.\nDelete it when the rest is applied: mirror prune --namespace %s | kubectl delete -f -", names(rest), o.namespace)
	}
}

// settings are those of before with what the flags change, and a warning when the version is far away.
func (o *upgradeOptions) settings(ctx context.Context, streams Streams, cluster installed.Cluster, program Program) (s install.Settings, warning string, err error) {
	s, err = cluster.Settings(ctx, o.namespace)
	if err != nil {
		return s, "", err
	}
	warning, err = install.Skew(program.Version, s.Version)
	if err != nil {
		return s, "", err
	}
	if o.resetValues {
		s.Values, s.HA = nil, false
	}
	return s, warning, o.apply(streams, &s, program)
}

// checkHelm refuses to change what Helm would change back, or delete.
func (o *upgradeOptions) checkHelm(ctx context.Context, cluster installed.Cluster, rendered install.Rendered) error {
	helms, err := cluster.Helms(ctx, rendered.Objects)
	if err != nil || len(helms) == 0 {
		return err
	}
	release := installed.HelmRelease(helms[0])
	if len(helms) == 1 && helms[0].Kind == "CustomResourceDefinition" {
		return fmt.Errorf("the type Link belongs to Helm's release %s: leave it out with --skip-crds", release)
	}
	return fmt.Errorf("%s belongs to Helm's release %s: use helm upgrade, and delete Secret %s/%s; or take annotation meta.helm.sh/release-name off each, if that release is gone",
		names(helms), release, o.namespace, install.RecordName)
}

// installations reads what mirror install put into the cluster.
func (o *globalOptions) installations(streams Streams) (installed.Cluster, error) {
	config, err := o.restConfig(streams)
	if err != nil {
		return installed.Cluster{}, err
	}
	return installed.NewCluster(config)
}

// names are objects in one line, each with its kind, its namespace and its name.
func names[T client.Object](objects []T) string {
	all := make([]string, len(objects))
	for i, obj := range objects {
		name := strings.TrimPrefix(client.ObjectKeyFromObject(obj).String(), "/")
		all[i] = obj.GetObjectKind().GroupVersionKind().Kind + " " + name
	}
	return strings.Join(all, ", ")
}
