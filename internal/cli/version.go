package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/internal/check"
	"github.com/linkspan/linkspan/internal/check/observe"
	"github.com/linkspan/linkspan/internal/cli/table"
	"github.com/linkspan/linkspan/pkg/link"
)

const (
	// labelComponent and componentMirror mark the controller's pods, for dashboards too.
	labelComponent  = "linkerd.io/control-plane-component"
	componentMirror = "linkerd-service-mirror"
	// labelVersion is where a pod says its version.
	labelVersion = "app.kubernetes.io/version"

	unavailable = "unavailable"
)

type versionOptions struct {
	clientOnly bool
	namespace  string
	format     string
}

func (o *versionOptions) bind(fs *pflag.FlagSet) {
	fs.BoolVar(&o.clientOnly, "client", false, "print the client's version only and ask no cluster")
	fs.StringVar(&o.namespace, "namespace", link.DefaultNamespace, "namespace of the installation")
	fs.StringVarP(&o.format, "output", "o", "", "format: wide or json, which list controller and gateways, or text when empty")
}

func (o *versionOptions) validate() error {
	if o.format != "" && o.format != formatWide && o.format != formatJSON {
		return fmt.Errorf("--output %q must be wide, json or left out", o.format)
	}
	return validateNamespace("--namespace", o.namespace)
}

// versions is what `version -o json` prints.
type versions struct {
	Client    string                   `json:"client"`
	Server    string                   `json:"server,omitempty"`
	Workloads []check.WorkloadVersions `json:"workloads,omitempty"`
}

func newVersionCommand(streams Streams, globals *globalOptions, version string) *cobra.Command {
	o := &versionOptions{}
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of this command, the controller and the gateways",
		Args:  arguments.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, globals, version)
		},
	}
	o.bind(cmd.Flags())
	return cmd
}

func (o *versionOptions) run(ctx context.Context, streams Streams, globals *globalOptions, version string) error {
	if err := o.validate(); err != nil {
		return err
	}
	found := versions{Client: version}
	if !o.clientOnly {
		if err := o.ask(ctx, streams, globals, &found); err != nil {
			return err
		}
	}
	if o.format == formatJSON {
		return printJSON(streams, found)
	}
	text := "Client version: " + found.Client + "\n"
	if !o.clientOnly {
		text += "Server version: " + found.Server + "\n"
	}
	if _, err := fmt.Fprint(streams.Out, text); err != nil {
		return fmt.Errorf("writing the versions: %w", err)
	}
	if len(found.Workloads) == 0 {
		return nil
	}
	rows := table.New("WORKLOAD", "VERSIONS")
	for _, w := range found.Workloads {
		rows.Row(w.Name, strings.Join(w.Versions, ", "))
	}
	return rows.Render(streams.Out)
}

// ask asks for workloads only where they are shown: the text that scripts read needs one request and one right.
func (o *versionOptions) ask(ctx context.Context, streams Streams, globals *globalOptions, found *versions) error {
	config, err := globals.restConfig(streams)
	if err != nil {
		return err
	}
	c, err := newClient(config)
	if err != nil {
		return err
	}
	if found.Server, err = serverVersion(ctx, c, o.namespace); err != nil || o.format == "" {
		return err
	}
	observer, err := observe.New(config, c, observe.Options{Namespace: o.namespace})
	if err != nil {
		return fmt.Errorf("looking for what runs: %w", err)
	}
	facts := observer.Workloads(ctx)
	if err := errors.Join(facts.Deployments.Err, facts.Pods.Err); err != nil {
		streams.note("Versions of workloads are not known: %v", err)
		return nil
	}
	found.Workloads = check.Versions(facts)
	return nil
}

// serverVersion is the version of the controller's pods, the first in order of names.
func serverVersion(ctx context.Context, c client.Client, namespace string) (string, error) {
	pods, err := controllerPods(ctx, c, namespace)
	if err != nil {
		return "", err
	}
	for _, pod := range pods {
		if version := pod.Labels[labelVersion]; version != "" {
			return version, nil
		}
	}
	return unavailable, nil
}

func controllerPods(ctx context.Context, c client.Client, namespace string) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := c.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{labelComponent: componentMirror})
	if err != nil {
		return nil, fmt.Errorf("looking for the controller in namespace %s: %w", namespace, err)
	}
	return pods.Items, nil
}
