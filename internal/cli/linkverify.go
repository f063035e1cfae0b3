package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// verify uses the kubeconfig that is about to be printed for what the controller will do with it:
// late failure in another cluster is what makes links hard to mend (LESSON-49).
func verify(ctx context.Context, streams Streams, globals *globalOptions, m link.Manifest, server targetServer) error {
	credentials, err := link.ParseKubeconfig(m.Credentials.Data[v1alpha3.SecretKeyKubeconfig], link.KubeconfigOptions{})
	if err != nil {
		return fmt.Errorf("reading the kubeconfig just made: %w", err)
	}
	parsed, err := link.Parse(m.Link)
	if err != nil {
		return fmt.Errorf("reading the Link just made: %w", err)
	}
	config := credentials.RESTConfig()
	if server.localProxy != "" {
		proxy, err := url.Parse(server.localProxy)
		if err != nil {
			return errors.New("the kubeconfig's proxy-url is not a URL")
		}
		config.Proxy = http.ProxyURL(proxy)
		streams.note("The kubeconfig's proxy-url means this machine, so it is left out of the link.")
	}
	c, err := newClient(globals.tune(config, streams))
	if err != nil {
		return err
	}
	selected := client.MatchingLabelsSelector{Selector: parsed.Exported}
	if parsed.Exported.String() == "" { // it selects nothing, which no request can say
		selected.Selector = parsed.RemoteDiscovery
	}
	for _, list := range []client.ObjectList{&corev1.ServiceList{}, &discoveryv1.EndpointSliceList{}} {
		if err := c.List(ctx, list, selected, client.Limit(1)); err != nil {
			return explainVerify(err, server)
		}
	}
	return noteTarget(ctx, streams, c, server)
}

// noteTarget tells of what does not stop a link from working.
func noteTarget(ctx context.Context, streams Streams, c client.Client, server targetServer) error {
	err := c.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, &corev1.Namespace{})
	switch {
	case apierrors.IsForbidden(err) || apierrors.IsNotFound(err):
		streams.note("The account may not read namespace %s, so links that lead to the wrong cluster will not be noticed: see mirror allow.", metav1.NamespaceSystem)
	case err != nil:
		return explainVerify(err, server)
	}
	switch host := server.url.Hostname(); {
	case isLocalHost(host):
		streams.note("%s means another machine elsewhere: be sure that the other cluster reaches this one there.", server.url.Redacted())
	case isPrivateIP(host):
		streams.note("%s is a private address: be sure that the other cluster reaches it.", server.url.Redacted())
	}
	return nil
}

// explainVerify says which part of the link to mend.
func explainVerify(err error, server targetServer) error {
	address, mend := server.url.Redacted(), "choose another address with --api-server-address"
	if server.overridden {
		mend = "correct --api-server-address"
	}
	var (
		untrusted  x509.UnknownAuthorityError
		wrongName  x509.HostnameError
		badCert    x509.CertificateInvalidError
		unverified *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &untrusted), errors.As(err, &wrongName), errors.As(err, &badCert), errors.As(err, &unverified):
		return fmt.Errorf("the certificate of %s does not verify with the CA that the link embeds: %s, or the kubeconfig's certificate authority: %w", address, mend, err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s refuses the service account's token: see that it belongs to the same cluster and was not revoked: %w", address, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("the service account may not read what a link needs: apply the output of mirror allow to this cluster: %w", err)
	default:
		return fmt.Errorf("the link was tried and does not work at %s (%s): %w", address, mend, err)
	}
}
