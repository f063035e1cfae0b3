package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/internal/installed"
	"github.com/linkspan/linkspan/pkg/link"
)

type uninstallOptions struct {
	namespace string
	crds      bool
	force     bool
	output    manifestOutput
}

func (o *uninstallOptions) bind(fs *pflag.FlagSet) {
	fs.StringVar(&o.namespace, "namespace", link.DefaultNamespace, "namespace of the installation")
	fs.BoolVar(&o.crds, "crds", false, "also print the type Link, which is the whole cluster's")
	fs.BoolVar(&o.force, "force", false, "print even while there are Links, whose mirrors will stay and which nothing finishes deleting")
	o.output.bind(fs)
}

func (o *uninstallOptions) validate() error {
	return errors.Join(validateNamespace("--namespace", o.namespace), o.output.validate())
}

func newUninstallCommand(streams Streams, globals *globalOptions) *cobra.Command {
	o := &uninstallOptions{}
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Print the objects to delete to remove what mirror install printed",
		Long: `Print the objects to delete to remove what mirror install printed.

Only objects that carry the installation's label are printed. End all links first (mirror unlink): the
controller removes their mirrors, and must be there to do so. The type Link stays unless --crds is
given, and the namespace while it holds anything else.`,
		Example: "  mirror uninstall | kubectl delete -f -",
		Args:    arguments.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, globals)
		},
	}
	o.bind(cmd.Flags())
	return cmd
}

func (o *uninstallOptions) run(ctx context.Context, streams Streams, globals *globalOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	cluster, err := globals.installations(streams)
	if err != nil {
		return err
	}
	if err := o.checkLinks(ctx, streams, cluster); err != nil {
		return err
	}
	owned, err := o.owned(ctx, streams, cluster)
	if err != nil {
		return err
	}
	crd, err := o.crd(ctx, streams, cluster)
	if err != nil {
		return err
	}
	if crd != nil {
		owned = append(owned, crd)
	}
	if len(owned) == 0 {
		// Says why, and what Helm installed instead.
		_, err := cluster.Settings(ctx, o.namespace)
		return errors.Join(errors.New("nothing to uninstall"), err)
	}
	return o.output.write(streams, asReferences(owned))
}

// checkLinks refuses while Links need the controller to remove their mirrors.
func (o *uninstallOptions) checkLinks(ctx context.Context, streams Streams, cluster installed.Cluster) error {
	links, err := cluster.Links(ctx, o.namespace)
	if err != nil || len(links) == 0 {
		return err
	}
	found := make([]string, len(links))
	for i, l := range links {
		found[i] = l.Name
	}
	list := strings.Join(found, ", ")
	if !o.force {
		return fmt.Errorf("namespace %s still has Links (%s), and without the controller their mirrors would stay: first end each with "+
			"`mirror unlink --cluster-name … --namespace %s | kubectl delete -f -`, or give --force", o.namespace, list, o.namespace)
	}
	streams.note("Links stay (%s), and so do their mirrors. Nothing finishes deleting these Links until a controller is back, or finalizer %s is taken off.", list, v1alpha3.FinalizerMirrors)
	streams.note("When they are gone, mirror unlink --orphans prints their mirrors.")
	return nil
}

// owned is what carries the label, without a namespace that holds other things too.
func (o *uninstallOptions) owned(ctx context.Context, streams Streams, cluster installed.Cluster) ([]*metav1.PartialObjectMetadata, error) {
	owned, err := cluster.Owned(ctx, o.namespace)
	if err != nil || len(owned) == 0 {
		return nil, err
	}
	lease, err := cluster.Lease(ctx, o.namespace)
	if err != nil {
		return nil, err
	}
	foreign, err := cluster.Foreign(ctx, o.namespace)
	if err != nil {
		return nil, err
	}
	var namespace *metav1.PartialObjectMetadata
	if last := owned[len(owned)-1]; last.Kind == "Namespace" {
		namespace, owned = last, owned[:len(owned)-1]
	}
	if lease != nil {
		owned = append(owned, lease)
	}
	switch {
	case namespace != nil && len(foreign) > 0:
		streams.note("Namespace %s stays, because it holds more: %s.\nTo delete it with all of that: kubectl delete namespace %s", o.namespace, strings.Join(foreign, ", "), o.namespace)
	case namespace != nil:
		owned = append(owned, namespace)
	}
	return owned, nil
}

// crd is the type Link, when it was asked for and may be deleted. With it every Link of the cluster would go.
func (o *uninstallOptions) crd(ctx context.Context, streams Streams, cluster installed.Cluster) (*metav1.PartialObjectMetadata, error) {
	crd, err := cluster.CRD(ctx)
	if err != nil || crd == nil {
		return nil, err
	}
	if !o.crds {
		streams.note("The type Link stays; --crds prints it as well.")
		return nil, nil
	}
	if release := installed.HelmRelease(crd); release != "" {
		return nil, fmt.Errorf("--crds: the type Link belongs to Helm's release %s: uninstall that, or leave --crds out", release)
	}
	links, err := cluster.Links(ctx, "")
	if err != nil {
		return nil, err
	}
	if len(links) > 0 {
		return nil, fmt.Errorf("--crds: %d Links exist (such as %s in namespace %s), and deleting their type would wait for them for ever: delete them first, or leave --crds out",
			len(links), links[0].Name, links[0].Namespace)
	}
	return crd, nil
}

// asReferences are what kubectl delete needs of objects.
func asReferences(objects []*metav1.PartialObjectMetadata) []runtime.Object {
	all := make([]runtime.Object, len(objects))
	for i, obj := range objects {
		all[i] = reference(obj.GroupVersionKind(), obj)
	}
	return all
}
