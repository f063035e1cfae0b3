package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/test/certs"
	"github.com/linkspan/linkspan/test/rig"
)

// All addresses are local in the rig's network namespace. The service range is a part of what is, so that
// a cluster IP needs no kube-proxy: the backend listens on it.
const (
	serviceRange = "203.0.113.128/25"
	clusterIP    = "203.0.113.200"
	backendPort  = 8080
	ingressPort  = 4143
	adminPort    = 4191

	linksNamespace = "linkspan"
	appsNamespace  = "shop"
	serviceName    = "web"
	clusterDomain  = "cluster.local"

	identityOfIngress = "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd." + clusterDomain
	identityOfEgress  = "linkspan-egress.linkerd-multicluster.serviceaccount.identity.linkerd." + clusterDomain
)

// files are the certificates of one end, as files.
type files struct{ dir string }

func (f files) cert() string    { return filepath.Join(f.dir, certs.CertFile) }
func (f files) key() string     { return filepath.Join(f.dir, certs.KeyFile) }
func (f files) anchors() string { return filepath.Join(f.dir, certs.AnchorsFile) }

// bundle is certificate and key in one file, as HAProxy wants them.
func (f files) bundle() string { return filepath.Join(f.dir, "bundle.pem") }

// world is a cluster with an exported service and its mirrors, a backend, and certificates.
type world struct {
	rig        *rig.Rig
	cluster    *rig.Cluster
	kubeconfig string
	backend    *process
	// ingress and egress are the certificates of the two ends.
	ingress, egress files
}

func newWorld(ctx context.Context) (*world, error) {
	r, err := rig.Start(ctx, rig.Options{Clusters: []rig.ClusterOptions{{Name: "east", ServiceCIDRs: []string{serviceRange}}}})
	if err != nil {
		return nil, err
	}
	w := &world{rig: r, cluster: r.Cluster("east")}
	if err := w.setUp(ctx); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) close() error {
	var err error
	if w.backend != nil {
		err = w.backend.stop()
	}
	return errors.Join(err, w.rig.Close())
}

// file names a file in the rig's folder, which goes with it.
func (w *world) file(name string) string { return filepath.Join(w.cluster.Dir(), name) }

func (w *world) setUp(ctx context.Context) error {
	var err error
	if w.kubeconfig, err = w.cluster.KubeconfigFile(w.cluster.Admin()); err != nil {
		return err
	}
	if err := w.writeCertificates(); err != nil {
		return err
	}
	for _, name := range []string{linksNamespace, appsNamespace} {
		if err := w.cluster.Client().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return fmt.Errorf("creating namespace %s: %w", name, err)
		}
	}
	if err := w.cluster.Client().Create(ctx, exportedService()); err != nil {
		return fmt.Errorf("creating the exported Service: %w", err)
	}
	for _, v := range variants() {
		if err := w.link(ctx, v); err != nil {
			return err
		}
	}
	w.backend, err = startSelf(ctx, roleBackend, "backend", w.file("backend.log"), nil, backendAddress())
	return err
}

// writeCertificates makes an issuer for each cluster, under one anchor.
func (w *world) writeCertificates() error {
	anchor, err := certs.Anchor("root")
	if err != nil {
		return err
	}
	w.ingress, w.egress = files{w.file("ingress-tls")}, files{w.file("egress-tls")}
	for end, identity := range map[files]string{w.ingress: identityOfIngress, w.egress: identityOfEgress} {
		issuer, err := anchor.Issuer(filepath.Base(end.dir))
		if err != nil {
			return err
		}
		leaf, err := issuer.Leaf(identity)
		if err != nil {
			return err
		}
		made, err := leaf.Files(anchor)
		if err != nil {
			return err
		}
		if err := made.Write(end.dir); err != nil {
			return err
		}
		if err := os.WriteFile(end.bundle(), append(made.Cert, made.Key...), 0o600); err != nil {
			return fmt.Errorf("writing a certificate for HAProxy: %w", err)
		}
	}
	return nil
}

func backendAddress() string { return fmt.Sprintf("%s:%d", clusterIP, backendPort) }

func exportedService() *corev1.Service {
	return rig.Service(appsNamespace, serviceName, rig.Exported(v1alpha3.ExportedGateway),
		rig.WithPorts(rig.Port("app", backendPort)), func(s *corev1.Service) { s.Spec.ClusterIP = clusterIP })
}

// link writes what the controller writes of one target: the Link's status and a mirror.
func (w *world) link(ctx context.Context, v variant) error {
	linked := rig.Link(linksNamespace, v.cluster(), rig.WithGateway(v.ingress, ingressPort, adminPort))
	linked.Spec.GatewayIdentity = identityOfIngress
	if err := w.cluster.Client().Create(ctx, linked); err != nil {
		return fmt.Errorf("creating Link %s: %w", linked.Name, err)
	}
	linked.Status.Gateway = []v1alpha3.GatewayAddressStatus{{Address: v.ingress, State: "Alive"}}
	if err := w.cluster.Client().Status().Update(ctx, linked); err != nil {
		return fmt.Errorf("writing the status of Link %s: %w", linked.Name, err)
	}
	if err := w.cluster.Client().Create(ctx, v.mirror()); err != nil {
		return fmt.Errorf("creating the mirror for %s: %w", v.way, err)
	}
	return nil
}

// mirror is the exported Service's mirror in the cluster of the variant.
func (v variant) mirror() *corev1.Service {
	target := link.Link{Cluster: v.cluster(), Domain: clusterDomain}
	return rig.Service(appsNamespace, target.MirrorName(serviceName),
		rig.WithLabel(v1alpha3.LabelMirroredService, "true"), rig.WithLabel(v1alpha3.LabelClusterName, v.cluster()),
		rig.WithAnnotation(v1alpha3.AnnotationRemoteServiceFQName, target.RemoteFQName(appsNamespace, serviceName)),
		rig.WithAnnotation(v1alpha3.AnnotationEgressPorts, fmt.Sprintf("%d=%d", backendPort, v.port)),
		rig.WithPorts(rig.Port("app", backendPort)))
}
