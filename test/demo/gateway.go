package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/linkspan/linkspan/pkg/gateway/wire"
	"github.com/linkspan/linkspan/test/certs"
	"github.com/linkspan/linkspan/test/rig"
)

// The two halves of the gateway: accounts, and the identities in their certificates.
const (
	ingressAccount   = "linkspan-ingress"
	egressAccount    = "linkspan-egress"
	identitySuffix   = "." + linksNamespace + ".serviceaccount.identity.linkerd.cluster.local"
	ingressIdentity  = ingressAccount + identitySuffix
	egressIdentity   = egressAccount + identitySuffix
	ingressAccessLog = "ingress-access.log"
	egressAccessLog  = "egress-access.log"
)

// egressIP is that of the egress's pod. Its admin server has the same port as the ingress's.
const egressIP = "203.0.113.41"

// drainDelay is what an ingress goes on for: as long as two probes take, one a second. Nobody waits
// for the egress.
const (
	ingressDrainDelay = "2s"
	egressDrainDelay  = "0s"
)

// makeCertificates writes a folder of files for each half: one anchor, and for each cluster an issuer of its own.
func (s *stage) makeCertificates() error {
	anchor, err := certs.Anchor("root.linkerd.cluster.local")
	if err != nil {
		return err
	}
	s.anchor = anchor
	for cluster, identity := range map[string]string{nameEast: ingressIdentity, nameWest: egressIdentity} {
		leaf, err := s.certify(cluster, identity)
		if err != nil {
			return err
		}
		files, err := leaf.Files(anchor)
		if err != nil {
			return err
		}
		if err := files.Write(filepath.Join(s.dir, cluster+"-tls")); err != nil {
			return err
		}
	}
	return nil
}

// certify makes a certificate under an issuer of the cluster.
func (s *stage) certify(cluster, identity string) (*certs.Leaf, error) {
	issuer, err := s.anchor.Issuer("identity.linkerd.cluster.local of " + cluster)
	if err != nil {
		return nil, err
	}
	return issuer.Leaf(identity)
}

// gatewayFlags are those that both halves need.
func gatewayFlags(ip, account, cluster, drainDelay string) string {
	tlsDir := cluster + "-tls/"
	return strings.Join([]string{
		"--admin-address=" + joinPort(ip, probePort),
		"--tls-cert=" + tlsDir + certs.CertFile, "--tls-key=" + tlsDir + certs.KeyFile, "--trust-anchors=" + tlsDir + certs.AnchorsFile,
		"--kubeconfig=" + account + ".kubeconfig", "--drain-delay=" + drainDelay,
		"--access-log=all", "--access-log-format=json",
	}, " ")
}

// ingressCommand starts the ingress, and says where its output goes.
func ingressCommand() (string, output) {
	return "gateway ingress --listen=" + joinPort(gatewayIP, gatewayPort) + " " +
		gatewayFlags(gatewayIP, ingressAccount, nameEast, ingressDrainDelay), output{out: ingressAccessLog, log: "ingress.log"}
}

// startIngress starts the ingress, and waits until it says that it is ready.
func (s *stage) startIngress(ctx context.Context) error {
	line, to := ingressCommand()
	started, err := s.shell.start(line, to, s.lost)
	if err != nil {
		return err
	}
	s.ingress = started
	return awaitReady(ctx, gatewayIP)
}

// stopIngress ends the ingress as Kubernetes ends a pod, and returns when it has ended.
func (s *stage) stopIngress() error {
	ending := s.ingress
	s.ingress = nil
	s.tell.command(fmt.Sprintf("kill %d    # SIGTERM to gateway ingress", ending.cmd.Process.Pid))
	return ending.stop()
}

func awaitReady(ctx context.Context, ip string) error {
	return soon(ctx, func(ctx context.Context) error {
		_, err := get(ctx, "http://"+joinPort(ip, probePort)+"/ready")
		return err
	})
}

// letIngressRead makes an account that may read Services and their endpoints.
func (s *stage) letIngressRead(ctx context.Context) error {
	user, err := s.east.ServiceAccount(ctx, linksNamespace, ingressAccount)
	if err != nil {
		return err
	}
	if err := s.east.Grant(ctx, user, readRule(services()), readRule(endpointSlices())); err != nil {
		return err
	}
	return errors.Join(
		writeKubeconfigOf(s.east, user, filepath.Join(s.dir, ingressAccount+".kubeconfig")),
		checkAccount(ctx, s.east, ingressAccount, right{services(), "list", "", true}, right{endpointSlices(), "watch", "", true}),
	)
}

// letEgressRead makes an account that may read Services and their endpoints, and the Links of one namespace.
func (s *stage) letEgressRead(ctx context.Context) error {
	user, err := s.west.ServiceAccount(ctx, linksNamespace, egressAccount)
	if err != nil {
		return err
	}
	if err := s.west.Grant(ctx, user, readRule(services()), readRule(endpointSlices())); err != nil {
		return err
	}
	meta := metav1.ObjectMeta{Namespace: linksNamespace, Name: egressAccount}
	if err := create(ctx, s.west, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{readRule(linkResource())}}); err != nil {
		return err
	}
	err = create(ctx, s.west, &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: meta.Namespace, Name: egressAccount}},
	})
	if err != nil {
		return err
	}
	return errors.Join(
		writeKubeconfigOf(s.west, user, filepath.Join(s.dir, egressAccount+".kubeconfig")),
		checkAccount(ctx, s.west, egressAccount,
			right{services(), "list", "", true}, right{linkResource(), "watch", linksNamespace, true},
			right{endpointSlices(), "list", "", true}, right{linkResource(), "list", "", false}),
	)
}

func readRule(r schema.GroupResource) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{r.Group}, Resources: []string{r.Resource}, Verbs: []string{"list", "watch"}}
}

// listEgress makes the Service of the egress, and says that the pod at egressIP is ready: in a real cluster
// that is found out by the cluster itself.
func (s *stage) listEgress(ctx context.Context) error {
	service := rig.Service(linksNamespace, egressAccount, rig.Headless(), rig.WithPorts(rig.Port("admin", probePort)))
	if err := create(ctx, s.west, service); err != nil {
		return err
	}
	return create(ctx, s.west, rig.EndpointSlice(service, []string{egressIP}))
}

// checkOutsider tries to get into the ingress without a certificate, and says what it is told. The
// identity of the ingress is verified on the way.
func (s *stage) checkOutsider(ctx context.Context) (string, error) {
	conn, err := s.dialIngress(ctx, nil)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	// In TLS 1.3 a server refuses a client after the client's handshake (RFC 8446 section 4.4.2.4).
	_, err = conn.Read(make([]byte, 1))
	const want = "certificate required"
	if err == nil || !strings.Contains(err.Error(), want) {
		return "", fmt.Errorf("the ingress says %w to who shows no certificate, expected %q", ended(err), want)
	}
	return want, nil
}

// dialIngress connects to the ingress as Linkerd's proxies do, with a certificate or none.
func (s *stage) dialIngress(ctx context.Context, shown []tls.Certificate) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: certs.Pool(s.anchor), ServerName: ingressIdentity,
		NextProtos: []string{wire.ALPN}, Certificates: shown,
	}}
	conn, err := dialer.DialContext(ctx, "tcp", joinPort(gatewayIP, gatewayPort))
	if err != nil {
		return nil, fmt.Errorf("expected %s to prove that it is %s: %w", joinPort(gatewayIP, gatewayPort), ingressIdentity, err)
	}
	deadline, _ := ctx.Deadline() // there is one
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// askFor connects to the ingress with the certificate of an egress and asks for a Service. What the
// ingress does about it is in its access log.
func (s *stage) askFor(ctx context.Context, service string) error {
	leaf, err := s.certify(nameWest, egressIdentity)
	if err != nil {
		return err
	}
	conn, err := s.dialIngress(ctx, []tls.Certificate{leaf.TLS()})
	if err != nil {
		return err
	}
	defer conn.Close()
	header, err := wire.Header{Name: service + "." + shop + ".svc.cluster.local", Port: servicePort}.Append(nil)
	if err != nil {
		return fmt.Errorf("ask the ingress for %s: %w", service, err)
	}
	if _, err := conn.Write(header); err != nil {
		return fmt.Errorf("ask the ingress for %s: %w", service, err)
	}
	if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
		return fmt.Errorf("the ingress lets a client through to %s, expected it to close the connection", service)
	}
	return nil
}
