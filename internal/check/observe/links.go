package observe

import (
	"context"
	"net/url"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/check"
	"github.com/linkspan/linkspan/pkg/link"
)

func (o *Observer) observeLinks(ctx context.Context, namespace string) check.Read[[]check.Link] {
	var list v1alpha3.LinkList
	needs := right("list", v1alpha3.GroupVersion.Group, "links", namespace)
	if err := o.links.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return read[[]check.Link](nil, err, needs)
	}
	credentials := o.credentials(ctx, list.Items, namespace)
	var all []check.Link
	for i, l := range list.Items {
		all = append(all, check.Link{Link: l, Credentials: credentials[i], Ignored: ignored(&l)})
	}
	return read(all, nil, needs)
}

// ignored says which annotations of a Link that the controller accepts mean nothing. What it refuses, conditions tell.
func ignored(l *v1alpha3.Link) (all []string) {
	parsed, _ := link.Parse(l)
	for _, why := range parsed.Ignored {
		all = append(all, why.Error())
	}
	return all
}

const (
	// mostByName bounds how many Secrets that are not in the list are asked for by name: they are missing, or of another type.
	mostByName = 10
	// secretsAtOnce bounds how many of these requests are under way.
	secretsAtOnce = 8
)

// credentials are in the order of the Links. Who may not list Secrets may have the right to read some by name; one
// refusal stands for all.
func (o *Observer) credentials(ctx context.Context, links []v1alpha3.Link, namespace string) []check.Read[check.Credentials] {
	all := make([]check.Read[check.Credentials], len(links))
	listed, err := o.secrets(ctx, namespace)
	var byName []int
	for i, l := range links {
		name := l.Spec.ClusterCredentialsSecret
		secret := listed[name]
		switch {
		case secret != nil:
			all[i] = read(o.tell(l, secret), nil, right("get", "", "secrets", namespace))
		case err != nil && !apierrors.IsForbidden(err):
			all[i] = read(check.Credentials{}, err, right("list", "", "secrets", namespace))
		case name != "" && (err != nil || len(byName) < mostByName):
			byName = append(byName, i)
		}
	}
	if len(byName) == 0 {
		return all
	}
	first := o.secret(ctx, links[byName[0]])
	var group errgroup.Group
	group.SetLimit(secretsAtOnce)
	all[byName[0]] = first
	for _, i := range byName[1:] {
		if apierrors.IsForbidden(first.Err) {
			all[i] = first
			continue
		}
		group.Go(func() error {
			all[i] = o.secret(ctx, links[i])
			return nil // what went wrong is said of the Link
		})
	}
	_ = group.Wait() // it has no error
	return all
}

// secrets are those of credentials, all at once.
func (o *Observer) secrets(ctx context.Context, namespace string) (map[string]*corev1.Secret, error) {
	list, err := o.kube.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("type", v1alpha3.SecretTypeRemoteKubeconfig).String(),
	})
	if err != nil {
		return nil, err
	}
	all := map[string]*corev1.Secret{}
	for i := range list.Items {
		all[list.Items[i].Name] = &list.Items[i]
	}
	return all, nil
}

// secret asks for one by name.
func (o *Observer) secret(ctx context.Context, l v1alpha3.Link) check.Read[check.Credentials] {
	needs := right("get", "", "secrets", l.Namespace)
	secret, err := o.kube.CoreV1().Secrets(l.Namespace).Get(ctx, l.Spec.ClusterCredentialsSecret, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return read(check.Credentials{}, nil, needs)
	case err != nil:
		return read(check.Credentials{}, err, needs)
	}
	return read(o.tell(l, secret), nil, needs)
}

// tell keeps of a Secret what may be told (LINK-13).
func (o *Observer) tell(l v1alpha3.Link, secret *corev1.Secret) check.Credentials {
	told := check.Credentials{Found: true, Type: string(secret.Type)}
	insecure := l.Annotations[v1alpha3.AnnotationInsecureSkipTLSVerify] == "true"
	c, err := link.ParseKubeconfig(secret.Data[v1alpha3.SecretKeyKubeconfig], link.KubeconfigOptions{AllowInsecure: insecure})
	if err != nil {
		told.Problem = err.Error() // names fields, and never quotes
		return told
	}
	if server, err := url.Parse(c.Server); err == nil && o.options.LocalHost != nil {
		told.Local = o.options.LocalHost(server.Hostname())
	}
	if ends, ok := c.Expiry(); ok {
		told.Expires = ends
	}
	return told
}

// linked are the clusters of all namespaces' Links: there may be another installation.
func (o *Observer) linked(ctx context.Context) check.Read[map[string]bool] {
	var list v1alpha3.LinkList
	needs := right("list", v1alpha3.GroupVersion.Group, "links", "")
	if err := o.links.List(ctx, &list); err != nil {
		return read[map[string]bool](nil, err, needs)
	}
	clusters := map[string]bool{}
	for _, l := range list.Items {
		clusters[l.Spec.TargetClusterName] = true
	}
	return read(clusters, nil, needs)
}
