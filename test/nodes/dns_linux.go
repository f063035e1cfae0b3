package nodes

import (
	"context"
	_ "embed" // the manifest
	"errors"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// dnsManifest is CoreDNS with one server, which is enough for a test and starts faster than two.
//
//go:embed coredns.yaml
var dnsManifest string

func (c *Cluster) installDNS(ctx context.Context) error {
	text := strings.NewReplacer("@ADDRESS@", c.segment.DNS().String(), "@IMAGE@", dnsImage).Replace(dnsManifest)
	return c.Apply(ctx, text)
}

func (c *Cluster) awaitDNS(ctx context.Context) error {
	return c.await(ctx, func(ctx context.Context) error {
		var deployment appsv1.Deployment
		if err := c.get(ctx, metav1.NamespaceSystem, "coredns", &deployment); err != nil {
			return err
		}
		if deployment.Status.AvailableReplicas == 0 {
			return errors.New("CoreDNS is not available")
		}
		return nil
	})
}
