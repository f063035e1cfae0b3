package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/internal/install"
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

Only objects that carry the installation's labels are printed, and no Links. End all links first (mirror
unlink): the controller removes their mirrors, and must be there to do so. The type Link stays unless
--crds is given, and the namespace while it holds anything else, of whatever kind.`,
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
	settings, missing := cluster.Settings(ctx, o.namespace)
	if errors.Is(missing, installed.ErrNotInstalled) {
		// It may be deleted, and other objects not yet; what they are is known from labels.
		settings = install.Settings{CRDs: true, CreateNamespace: true}
	} else if missing != nil {
		return missing
	}
	if err := o.checkLinks(ctx, streams, cluster); err != nil {
		return err
	}
	owned, err := o.owned(ctx, streams, cluster, settings)
	if err != nil {
		return err
	}
	crd, err := o.crd(ctx, streams, cluster, settings)
	if err != nil {
		return err
	}
	if crd != nil {
		owned = append(owned, crd)
	}
	if len(owned) == 0 {
		// The second says why, and what Helm installed instead.
		return errors.Join(errors.New("nothing to uninstall"), missing)
	}
	return o.output.write(streams, asReferences(owned))
}

// checkLinks refuses while Links need the controller to remove their mirrors.
func (o *uninstallOptions) checkLinks(ctx context.Context, streams Streams, cluster installed.Cluster) error {
	links, err := cluster.Links(ctx, o.namespace)
	if err != nil || len(links) == 0 {
		return err
	}
	var all, fromValues []string
	for _, l := range links {
		all = append(all, l.Name)
		if l.Labels[v1alpha3.LabelInstallation] == o.namespace {
			fromValues = append(fromValues, l.Name)
		}
	}
	list := strings.Join(all, ", ")
	if o.force {
		streams.note("Links stay (%s), and so do their mirrors. Nothing finishes deleting these Links until a controller is back, or finalizer %s is taken off.", list, v1alpha3.FinalizerMirrors)
		streams.note("When they are gone, mirror unlink --orphans prints their mirrors.")
		return nil
	}
	mend := fmt.Sprintf("first end each with `mirror unlink --cluster-name … --namespace %s | kubectl delete -f -`", o.namespace)
	if len(fromValues) > 0 {
		mend += fmt.Sprintf(", and those of value links (%s) with `mirror upgrade --namespace %s --set links=null | kubectl apply -f -` and `mirror prune --namespace %s | kubectl delete -f -`",
			strings.Join(fromValues, ", "), o.namespace, o.namespace)
	}
	return fmt.Errorf("namespace %s still has Links (%s), and without the controller their mirrors would stay: %s, or give --force", o.namespace, list, mend)
}

// owned are the installation's objects but its Links, then its settings, the controller's Lease, and the namespace if
// it holds nothing else. The settings stay as long as they may help to try again.
func (o *uninstallOptions) owned(ctx context.Context, streams Streams, cluster installed.Cluster, settings install.Settings) ([]*metav1.PartialObjectMetadata, error) {
	found, err := cluster.Owned(ctx, o.namespace)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	lease, err := cluster.Lease(ctx, o.namespace)
	if err != nil {
		return nil, err
	}
	owned, record, namespace := parts(found)
	for _, last := range []*metav1.PartialObjectMetadata{record, lease} {
		if last != nil {
			owned = append(owned, last)
		}
	}
	if namespace == nil {
		return owned, nil
	}
	goes, err := o.namespaceGoes(ctx, streams, cluster, settings, owned)
	if goes {
		owned = append(owned, namespace)
	}
	return owned, err
}

// parts takes what is printed last out of an installation's objects, and the Links: nobody would finish deleting those.
func parts(found []*metav1.PartialObjectMetadata) (rest []*metav1.PartialObjectMetadata, record, namespace *metav1.PartialObjectMetadata) {
	for _, obj := range found {
		switch {
		case obj.Kind == "Link":
		case obj.Kind == "Namespace":
			namespace = obj
		case obj.Kind == "Secret" && obj.Name == install.RecordName:
			record = obj
		default:
			rest = append(rest, obj)
		}
	}
	return rest, record, namespace
}

// namespaceGoes tells why the namespace stays, if it does.
func (o *uninstallOptions) namespaceGoes(ctx context.Context, streams Streams, cluster installed.Cluster, settings install.Settings, going []*metav1.PartialObjectMetadata) (bool, error) {
	if !settings.CreateNamespace {
		streams.note("Namespace %s stays, because it is not the installation's: --create-namespace=false was given.", o.namespace)
		return false, nil
	}
	foreign, err := cluster.Foreign(ctx, o.namespace, going)
	if err != nil {
		return false, err
	}
	if len(foreign) > 0 {
		streams.note("Namespace %s stays, because it holds more: %s.\nTo delete it with all of that: kubectl delete namespace %s", o.namespace, someOf(foreign), o.namespace)
	}
	return len(foreign) == 0, nil
}

// someOf tells of so many things as can be read.
func someOf(things []string) string {
	const most = 10
	if len(things) <= most {
		return strings.Join(things, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(things[:most], ", "), len(things)-most)
}

// crd is the type Link, when it was asked for and may be deleted. With it every Link of the cluster would go.
func (o *uninstallOptions) crd(ctx context.Context, streams Streams, cluster installed.Cluster, settings install.Settings) (*metav1.PartialObjectMetadata, error) {
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
	if !settings.CRDs {
		return nil, errors.New("--crds: the type Link is not the installation's, because --skip-crds was given: leave --crds out")
	}
	if err := o.checkUsers(ctx, streams, cluster); err != nil {
		return nil, err
	}
	return crd, nil
}

// checkUsers refuses to delete the type Link while anybody in the cluster needs it.
func (o *uninstallOptions) checkUsers(ctx context.Context, streams Streams, cluster installed.Cluster) error {
	links, err := cluster.Links(ctx, "")
	if err != nil {
		return err
	}
	if len(links) > 0 {
		return fmt.Errorf("--crds: %d Links exist (such as %s in namespace %s), and deleting their type would wait for them for ever: delete them first, or leave --crds out",
			len(links), links[0].Name, links[0].Namespace)
	}
	others, err := cluster.Elsewhere(ctx, o.namespace)
	if apierrors.IsForbidden(err) {
		streams.note("Whether an installation in another namespace needs the type Link was not found out: %v.", err)
		return nil
	}
	if err != nil {
		return err
	}
	if len(others) > 0 {
		return fmt.Errorf("--crds: the type Link is needed by what is installed in namespace %s: uninstall that first, or leave --crds out", strings.Join(others, " and in "))
	}
	return nil
}

// asReferences are what kubectl delete needs of objects.
func asReferences(objects []*metav1.PartialObjectMetadata) []runtime.Object {
	all := make([]runtime.Object, len(objects))
	for i, obj := range objects {
		all[i] = reference(obj.GroupVersionKind(), obj)
	}
	return all
}
