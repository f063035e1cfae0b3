package cli

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/internal/install"
	"github.com/linkspan/linkspan/pkg/link"
)

// settingsFlags say what to install. They are the same for install and upgrade.
type settingsFlags struct {
	ha              bool
	gateway         bool
	skipCRDs        bool
	createNamespace bool
	values          install.Sources

	flags *pflag.FlagSet
}

func (o *settingsFlags) bind(fs *pflag.FlagSet) {
	o.flags = fs
	fs.BoolVar(&o.ha, "ha", false, "three pods of everything, on three nodes: the chart's values-ha.yaml")
	fs.BoolVar(&o.gateway, "gateway", true, "install the gateway; false for pod-to-pod only (gateway.enabled)")
	fs.BoolVar(&o.skipCRDs, "skip-crds", false, "leave out the type Link, where something else installs it")
	fs.BoolVar(&o.createNamespace, "create-namespace", true, "print the namespace as well")
	fs.StringArrayVarP(&o.values.Files, "values", "f", nil, "YAML file of values, - for standard input; may be repeated, the last wins")
	fs.StringArrayVar(&o.values.Set, "set", nil, "value of the chart, as path=value; may be repeated")
	fs.StringArrayVar(&o.values.SetString, "set-string", nil, "the same, for a value that must stay text")
	fs.StringArrayVar(&o.values.SetFile, "set-file", nil, "value that is the content of a file, as path=file; may be repeated")
}

// apply changes settings by the flags that were given; the others leave them as they are.
func (o *settingsFlags) apply(streams Streams, s *install.Settings, program Program) error {
	if o.flags.Changed("ha") {
		s.HA = o.ha
	}
	if o.flags.Changed("skip-crds") {
		s.CRDs = !o.skipCRDs
	}
	if o.flags.Changed("create-namespace") {
		s.CreateNamespace = o.createNamespace
	}
	sources := o.values
	if o.flags.Changed("gateway") {
		sources.Preset = map[string]any{"gateway": map[string]any{"enabled": o.gateway}}
	}
	values, err := program.Charts.Values(sources, s.Values, streams.In)
	if err != nil {
		return err
	}
	s.Values, s.Version = values, program.Version
	return nil
}

type installOptions struct {
	settingsFlags
	namespace  string
	onlyCRDs   bool
	showValues bool
	output     manifestOutput
}

func (o *installOptions) bind(fs *pflag.FlagSet) {
	o.settingsFlags.bind(fs)
	fs.StringVar(&o.namespace, "namespace", link.DefaultNamespace, "namespace to install into")
	fs.BoolVar(&o.onlyCRDs, "crds", false, "print the type Link and nothing else")
	fs.BoolVar(&o.showValues, "show-values", false, "print the values that there are, and what they mean, instead")
	o.output.bind(fs)
}

func (o *installOptions) validate() error {
	errs := []error{validateNamespace("--namespace", o.namespace), o.output.validate()}
	if o.onlyCRDs && o.skipCRDs {
		errs = append(errs, errors.New("--crds and --skip-crds exclude each other: give one"))
	}
	return errors.Join(errs...)
}

func newInstallCommand(streams Streams, program Program) *cobra.Command {
	o := &installOptions{}
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Print what a cluster needs to link, and to be linked to",
		Long: `Print what a cluster needs to link, and to be linked to.

The objects are those of the Helm chart of this version, with the namespace and the type Link before
them; values have the names, the syntax and the precedence of Helm's. No cluster is asked. The values
are kept in a Secret of the installation, where mirror upgrade finds them.

Choose this or Helm for each cluster. Helm does not take over what is installed in this way; install asks
no cluster, so it cannot notice that Helm is there already: mirror upgrade does, and refuses.`,
		Example: `  # A cluster that calls services of others pod to pod:
  mirror install --gateway false | kubectl apply -f -
  # With a gateway, whose certificates come from cert-manager:
  mirror install --ha -f values.yaml | kubectl apply -f -`,
		Args: arguments.None,
		RunE: func(*cobra.Command, []string) error {
			return o.run(streams, program)
		},
	}
	o.bind(cmd.Flags())
	return cmd
}

func (o *installOptions) run(streams Streams, program Program) error {
	if err := o.validate(); err != nil {
		return err
	}
	switch {
	case o.showValues:
		text, err := program.Charts.DefaultValues()
		if err != nil {
			return fmt.Errorf("reading the chart's values: %w", err)
		}
		if _, err := streams.Out.Write(text); err != nil {
			return fmt.Errorf("writing the values: %w", err)
		}
		return nil
	case o.onlyCRDs:
		objects, err := program.Charts.RenderCRDs(program.Version, o.namespace)
		if err != nil {
			return err
		}
		return o.output.write(streams, asObjects(objects))
	}
	settings := install.Settings{CRDs: true, CreateNamespace: true}
	if err := o.apply(streams, &settings, program); err != nil {
		return err
	}
	rendered, err := program.Charts.Render(settings, o.namespace)
	if err != nil {
		return err
	}
	if err := o.output.write(streams, asObjects(rendered.Objects)); err != nil {
		return err
	}
	explainInstalled(streams, settings, o.namespace, rendered)
	return nil
}

// explainInstalled says what the reader should know of objects that are still to be applied.
func explainInstalled(streams Streams, s install.Settings, namespace string, rendered install.Rendered) {
	if !s.CreateNamespace {
		streams.note("Namespace %s must exist, with label linkerd.io/extension=linkspan and, for Linkerd, annotations linkerd.io/inject=enabled and config.linkerd.io/proxy-await=enabled.", namespace)
	}
	if s.CRDs && slices.ContainsFunc(rendered.Objects, func(obj *unstructured.Unstructured) bool { return obj.GetKind() == "Link" }) {
		// kubectl looks all kinds up before it applies the first object.
		streams.note("Links are among the objects: where the type is new, apply the output of mirror install --crds first.")
	}
	streams.note("Once it is applied:\n%s", rendered.Notes)
}

// asObjects gives objects the type that manifestOutput writes.
func asObjects(objects []*unstructured.Unstructured) []runtime.Object {
	all := make([]runtime.Object, len(objects))
	for i, obj := range objects {
		all[i] = obj
	}
	return all
}
