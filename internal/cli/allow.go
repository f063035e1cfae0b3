package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/pkg/link"
)

// minTokenExpiry is the shortest life that an API server gives a token.
const minTokenExpiry = 10 * time.Minute

type allowOptions struct {
	namespace       string
	serviceAccount  string
	linkerd         bool
	createNamespace bool
	tokenExpiry     time.Duration
	output          manifestOutput
}

func (o *allowOptions) bind(fs *pflag.FlagSet) {
	fs.StringVar(&o.namespace, "namespace", link.DefaultNamespace, "namespace of the service account")
	bindServiceAccount(fs, &o.serviceAccount)
	fs.BoolVar(&o.linkerd, "linkerd", false, "also allow what Linkerd's control plane in the source reads for pod-to-pod services")
	fs.BoolVar(&o.createNamespace, "create-namespace", false, "print the namespace as well")
	fs.DurationVar(&o.tokenExpiry, "token-expiry", 0, "leave out the token that never expires: `mirror link --token-expiry` will ask for one of this life")
	o.output.bind(fs)
}

// bindServiceAccount binds Linkerd's name of the flag, and the one that people guess.
func bindServiceAccount(fs *pflag.FlagSet, value *string) {
	const usage = "name of the service account that other clusters use"
	fs.StringVar(value, "service-account-name", link.DefaultServiceAccount, usage)
	fs.StringVar(value, "service-account", link.DefaultServiceAccount, usage)
	// Fails only for a flag that does not exist.
	_ = fs.MarkHidden("service-account")
}

func (o *allowOptions) validate() error {
	return errors.Join(
		validateNamespace("--namespace", o.namespace),
		validateServiceAccount(o.serviceAccount),
		validateTokenExpiry(o.tokenExpiry),
		o.output.validate(),
	)
}

func validateServiceAccount(name string) error {
	// "-token" is appended for the Secret.
	if len(validation.IsDNS1123Subdomain(tokenSecretName(name))) > 0 {
		return fmt.Errorf("--service-account-name %q must be the name of a service account", name)
	}
	return nil
}

func validateTokenExpiry(d time.Duration) error {
	if d != 0 && d < minTokenExpiry {
		return fmt.Errorf("--token-expiry %s must be at least %s, the shortest that an API server gives", d, minTokenExpiry)
	}
	return nil
}

func newAllowCommand(streams Streams) *cobra.Command {
	o := &allowOptions{}
	cmd := &cobra.Command{
		Use:   "allow",
		Short: "Print the account that lets other clusters link to this one",
		Long: `Print the account that lets other clusters link to this one.

Apply it in the target, the cluster that exports services; then run mirror link there. The account
reads services and endpoint slices, and learns the cluster's identity; it reads no Secret and writes
nothing. With one account for each source cluster (--service-account-name), each can be revoked alone.`,
		Example: "  mirror allow | kubectl --context=east apply -f -",
		Args:    arguments.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams)
		},
	}
	o.bind(cmd.Flags())
	return cmd
}

func (o *allowOptions) run(_ context.Context, streams Streams) error {
	if err := o.validate(); err != nil {
		return err
	}
	if err := o.output.write(streams, o.objects()); err != nil {
		return err
	}
	streams.note("%s may read services and endpoint slices of all namespaces of the cluster where this is applied.", o.serviceAccount)
	if o.tokenExpiry != 0 {
		streams.note("No token is made: run mirror link --token-expiry %s, and again before it ends.", o.tokenExpiry)
	}
	return nil
}

func (o *allowOptions) objects() []runtime.Object {
	// With the namespace in it, accounts of one name in two namespaces do not share a role: revoking one leaves the other.
	clusterRole := o.namespace + ":" + o.serviceAccount
	var objects []runtime.Object
	if o.createNamespace {
		objects = append(objects, &corev1.Namespace{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: o.namespace},
		})
	}
	objects = append(objects,
		&corev1.ServiceAccount{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
			ObjectMeta: metav1.ObjectMeta{Name: o.serviceAccount, Namespace: o.namespace},
			// Nobody mounts this account's token into a pod.
			AutomountServiceAccountToken: new(bool),
		},
		&rbacv1.ClusterRole{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
			ObjectMeta: metav1.ObjectMeta{Name: clusterRole},
			Rules:      o.rules(),
		},
		&rbacv1.ClusterRoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
			ObjectMeta: metav1.ObjectMeta{Name: clusterRole},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: o.serviceAccount, Namespace: o.namespace}},
		})
	if o.tokenExpiry == 0 {
		objects = append(objects, &corev1.Secret{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
			ObjectMeta: metav1.ObjectMeta{
				Name: tokenSecretName(o.serviceAccount), Namespace: o.namespace,
				Annotations: map[string]string{corev1.ServiceAccountNameKey: o.serviceAccount},
			},
			Type: corev1.SecretTypeServiceAccountToken,
		})
	}
	return objects
}

// rules are the least that works (LINK-10, LESSON-34).
func (o *allowOptions) rules() []rbacv1.PolicyRule {
	read := []string{"get", "list", "watch"}
	rules := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: read},
		{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: read},
		// Its UID is the cluster's identity, by which a link to the wrong cluster is refused.
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, ResourceNames: []string{metav1.NamespaceSystem}, Verbs: []string{"get"}},
	}
	if !o.linkerd {
		return rules
	}
	// Linkerd's destination service reads pods for their identity, their owners for metrics, and
	// Servers for protocols.
	return append(rules,
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: read},
		rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"replicasets"}, Verbs: read},
		rbacv1.PolicyRule{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: read},
		rbacv1.PolicyRule{APIGroups: []string{"policy.linkerd.io"}, Resources: []string{"servers"}, Verbs: read},
	)
}

func tokenSecretName(serviceAccount string) string { return serviceAccount + "-token" }
