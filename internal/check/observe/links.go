package observe

import (
	"context"
	"net/url"

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
	secrets := o.secrets(ctx, namespace)
	var all []check.Link
	for _, l := range list.Items {
		all = append(all, check.Link{Link: l, Credentials: o.credentials(ctx, l, secrets)})
	}
	return read(all, nil, needs)
}

// secrets are all credentials at once; nil for who may not list Secrets.
func (o *Observer) secrets(ctx context.Context, namespace string) map[string]*corev1.Secret {
	list, err := o.kube.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("type", v1alpha3.SecretTypeRemoteKubeconfig).String(),
	})
	if err != nil {
		return nil
	}
	all := map[string]*corev1.Secret{}
	for i := range list.Items {
		all[list.Items[i].Name] = &list.Items[i]
	}
	return all
}

// credentials asks for a Secret that was not listed, because it may have another type, or be one of those that
// the user may read by name.
func (o *Observer) credentials(ctx context.Context, l v1alpha3.Link, listed map[string]*corev1.Secret) check.Read[check.Credentials] {
	name := l.Spec.ClusterCredentialsSecret
	needs := right("get", "", "secrets", l.Namespace)
	if name == "" {
		return read(check.Credentials{}, nil, needs)
	}
	secret := listed[name]
	if secret == nil {
		var err error
		secret, err = o.kube.CoreV1().Secrets(l.Namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return read(check.Credentials{}, nil, needs)
		case err != nil:
			return read(check.Credentials{}, err, needs)
		}
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
