package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/pkg/link"
)

type unlinkOptions struct {
	clusterName string
	namespace   string
	orphans     bool
	output      manifestOutput
}

func (o *unlinkOptions) bind(fs *pflag.FlagSet) {
	fs.StringVar(&o.clusterName, "cluster-name", "", "name of the target cluster (required, except with --orphans)")
	fs.StringVar(&o.namespace, "namespace", link.DefaultNamespace, "namespace of the Link")
	fs.BoolVar(&o.orphans, "orphans", false, "print the mirrors whose Link is gone instead")
	o.output.bind(fs)
}

func (o *unlinkOptions) validate() error {
	errs := []error{validateNamespace("--namespace", o.namespace), o.output.validate()}
	if o.clusterName == "" && !o.orphans {
		errs = append(errs, errors.New("--cluster-name is required: name the target cluster of the link"))
	}
	return errors.Join(errs...)
}

func newUnlinkCommand(streams Streams, globals *globalOptions) *cobra.Command {
	o := &unlinkOptions{}
	cmd := &cobra.Command{
		Use:   "unlink",
		Short: "Print the objects to delete to end a link",
		Long: `Print the objects to delete to end a link.

Run it in the context of the source, the cluster where the Link is; the target need not be there any
more. The controller removes the mirrors when the Link is deleted. If there is no controller any more,
--orphans prints the mirrors that no Link accounts for.

The Link says where the copy of its credentials for a Linkerd control plane is; once the Link is gone,
it is looked for in the namespace that -L names.`,
		Example: "  mirror --context=west unlink --cluster-name east | kubectl --context=west delete -f -",
		Args:    arguments.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, globals)
		},
	}
	o.bind(cmd.Flags())
	return cmd
}

func (o *unlinkOptions) run(ctx context.Context, streams Streams, globals *globalOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	c, err := globals.client(streams)
	if err != nil {
		return err
	}
	if o.orphans {
		objects, err := o.findOrphans(ctx, c)
		if err != nil {
			return err
		}
		return o.output.write(streams, objects)
	}
	objects, err := o.findLink(ctx, streams, c, globals.linkerdNamespace)
	if err != nil {
		return err
	}
	if err := o.output.write(streams, objects); err != nil {
		return err
	}
	streams.note("Deleting the Link waits until the controller has removed its mirrors. The account in %s stays: revoke it there.", o.clusterName)
	return nil
}

// findLink finds the Links to a cluster and their credentials, without asking the target anything.
func (o *unlinkOptions) findLink(ctx context.Context, streams Streams, c client.Client, linkerdNamespace string) ([]runtime.Object, error) {
	var links v1alpha3.LinkList
	if err := c.List(ctx, &links, client.InNamespace(o.namespace)); err != nil {
		return nil, fmt.Errorf("listing Links in namespace %s: %w", o.namespace, err)
	}
	var objects []runtime.Object
	secrets := []client.ObjectKey{
		{Namespace: o.namespace, Name: link.SecretName(o.clusterName)},
		{Namespace: linkerdNamespace, Name: link.SecretName(o.clusterName)},
	}
	for _, l := range links.Items {
		if l.Spec.TargetClusterName != o.clusterName && l.Name != o.clusterName {
			continue
		}
		objects = append(objects, reference(v1alpha3.GroupVersion.WithKind("Link"), &l))
		secrets = append(secrets,
			client.ObjectKey{Namespace: o.namespace, Name: l.Spec.ClusterCredentialsSecret},
			client.ObjectKey{Namespace: l.Spec.TargetClusterLinkerdNamespace, Name: link.SecretName(l.Spec.TargetClusterName)})
	}
	credentials, err := o.findCredentials(ctx, streams, c, secrets)
	if err != nil {
		return nil, err
	}
	objects = append(objects, credentials...)
	if len(objects) == 0 {
		return nil, fmt.Errorf("nothing to unlink: no Link to %s in namespace %s, and no credentials; see --context, --namespace and --orphans", o.clusterName, o.namespace)
	}
	return objects, nil
}

// findCredentials finds those of the Secrets that there are, and that are ours to delete.
func (o *unlinkOptions) findCredentials(ctx context.Context, streams Streams, c client.Client, keys []client.ObjectKey) ([]runtime.Object, error) {
	var found []runtime.Object
	slices.SortFunc(keys, func(a, b client.ObjectKey) int { return strings.Compare(a.String(), b.String()) })
	for _, key := range slices.Compact(keys) {
		// A Link may hold anything, and be without a control plane: what cannot be a name is asked for in vain.
		if len(validation.IsDNS1123Label(key.Namespace)) > 0 || len(validation.IsDNS1123Subdomain(key.Name)) > 0 {
			continue
		}
		secret := &corev1.Secret{}
		switch err := c.Get(ctx, key, secret); {
		case apierrors.IsNotFound(err):
		case apierrors.IsForbidden(err) && key.Namespace != o.namespace:
			streams.note("Secret %s may not be read: if it is a copy of these credentials, for a Linkerd control plane, delete it with an account that may.", key)
		case err != nil:
			return nil, fmt.Errorf("reading Secret %s: %w", key, err)
		case o.isCredentials(secret):
			found = append(found, reference(corev1.SchemeGroupVersion.WithKind("Secret"), secret))
		}
	}
	return found, nil
}

// isCredentials tells what `mirror link` or Linkerd's command made from somebody else's Secret of that name. The copy
// for a control plane is labelled with the cluster that its name ends in.
func (o *unlinkOptions) isCredentials(s *corev1.Secret) bool {
	if s.Type != v1alpha3.SecretTypeRemoteKubeconfig {
		return false
	}
	return s.Namespace == o.namespace || s.Name == link.SecretName(s.Labels[v1alpha3.LabelCredentialsCluster])
}

// findOrphans finds mirrors, and slices that may outlive them, whose cluster no Link names.
func (o *unlinkOptions) findOrphans(ctx context.Context, c client.Client) ([]runtime.Object, error) {
	var links v1alpha3.LinkList
	if err := c.List(ctx, &links); err != nil {
		return nil, fmt.Errorf("listing Links: %w", err)
	}
	linked := map[string]bool{}
	for _, l := range links.Items {
		linked[l.Spec.TargetClusterName] = true
	}
	var objects []runtime.Object
	for _, kind := range []schema.GroupVersionKind{
		corev1.SchemeGroupVersion.WithKind("Service"),
		discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"),
	} {
		var mirrors metav1.PartialObjectMetadataList
		mirrors.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := c.List(ctx, &mirrors, client.MatchingLabels{v1alpha3.LabelMirroredService: "true"}); err != nil {
			return nil, fmt.Errorf("listing mirrors, kind %s: %w", kind.Kind, err)
		}
		for i := range mirrors.Items {
			cluster := mirrors.Items[i].Labels[v1alpha3.LabelClusterName]
			if cluster != "" && !linked[cluster] && (o.clusterName == "" || cluster == o.clusterName) {
				objects = append(objects, reference(kind, &mirrors.Items[i]))
			}
		}
	}
	if len(objects) == 0 {
		return nil, errors.New("there are no orphans: every mirror found has a Link")
	}
	return objects, nil
}

// reference is what kubectl delete needs of an object, and nothing that is in it.
func reference(kind schema.GroupVersionKind, obj client.Object) *metav1.PartialObjectMetadata {
	ref := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: obj.GetName(), Namespace: obj.GetNamespace()}}
	ref.SetGroupVersionKind(kind)
	return ref
}
