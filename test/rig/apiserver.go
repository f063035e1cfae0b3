package rig

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/linkspan/linkspan/test/rig/kubebin"
	"github.com/linkspan/linkspan/test/rig/process"
)

// Files of one API server, in its folder.
const (
	fileClientCA    = "ca.crt"
	fileCert        = "apiserver.crt"
	fileKey         = "apiserver.key"
	fileTokenKey    = "sa.key"
	fileTokenPublic = "sa.pub"
	fileTokens      = "tokens.csv"
	fileAuditPolicy = "audit-policy.yaml"
	fileAuditLog    = "audit.log"
	fileAdmin       = "admin.kubeconfig"
)

// auditPolicy counts what clients ask for. The API server's own loopback client and health checks
// are left out: nobody asserts on them, and they would make every log read longer.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:apiserver"]
- level: None
  nonResourceURLs: ["/healthz*", "/livez*", "/readyz*"]
- level: Metadata
  omitManagedFields: true
`

// prepare writes the files that the API server reads at start.
func (c *Cluster) prepare() error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of %s: %w", c.name, err)
	}
	serviceIPs, err := kubernetesServiceIPs(c.options.ServiceCIDRs)
	if err != nil {
		return fmt.Errorf("cluster %s: %w", c.name, err)
	}
	ips := append([]net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.ParseIP(c.address)}, serviceIPs...)
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", c.name + ".example"}
	serving, err := c.ca.server(names, ips)
	if err != nil {
		return err
	}
	private, public, err := newTokenKey()
	if err != nil {
		return err
	}
	return writeFiles(c.dir, map[string][]byte{
		fileClientCA:    c.ca.pem,
		fileCert:        serving.cert,
		fileKey:         serving.key,
		fileTokenKey:    private,
		fileTokenPublic: public,
		fileAuditPolicy: []byte(auditPolicy),
	})
}

// kubernetesServiceIPs are the first addresses of the service ranges.
func kubernetesServiceIPs(cidrs []string) ([]net.IP, error) {
	ips := make([]net.IP, 0, len(cidrs))
	for _, cidr := range cidrs {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			return nil, fmt.Errorf("ServiceCIDRs: %w", err)
		}
		ips = append(ips, prefix.Masked().Addr().Next().AsSlice())
	}
	return ips, nil
}

// writeTokens writes the static token file: token,user,uid,"groups".
func (c *Cluster) writeTokens() error {
	var file strings.Builder
	for _, user := range c.tokenUsers {
		fmt.Fprintf(&file, "%s,%s,%s,\"%s\"\n", user.Token, user.Name, user.Name, strings.Join(user.Groups, ","))
	}
	// The API server refuses to start with an empty file, so there is always one user whom nobody knows.
	fmt.Fprintf(&file, "%s,rig-nobody,rig-nobody\n", rand.Text())
	return writeFiles(c.dir, map[string][]byte{fileTokens: []byte(file.String())})
}

func (c *Cluster) apiserverArgs() []string {
	path := func(name string) string { return filepath.Join(c.dir, name) }
	args := []string{
		"--etcd-servers=" + c.etcd.url,
		"--etcd-prefix=" + c.etcdPrefix,
		"--bind-address=0.0.0.0",
		"--advertise-address=" + c.address,
		fmt.Sprintf("--secure-port=%d", c.port),
		"--tls-cert-file=" + path(fileCert),
		"--tls-private-key-file=" + path(fileKey),
		"--client-ca-file=" + path(fileClientCA),
		"--token-auth-file=" + path(fileTokens),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + path(fileTokenPublic),
		"--service-account-signing-key-file=" + path(fileTokenKey),
		"--service-cluster-ip-range=" + strings.Join(c.options.ServiceCIDRs, ","),
		"--authorization-mode=Node,RBAC",
		"--allow-privileged",
		"--audit-policy-file=" + path(fileAuditPolicy),
		"--audit-log-path=" + path(fileAuditLog),
		"--audit-log-mode=blocking", // a request is in the log before its client has the whole answer
		"--audit-log-maxsize=100000",
		"--endpoint-reconciler-type=none", // leases of API servers slow down every stop
		"--profiling=false",
		"--shutdown-delay-duration=0s",
	}
	return append(args, c.options.APIServerArgs...)
}

// startAPIServer starts the process and waits until it serves everything that a user expects.
func (c *Cluster) startAPIServer(ctx context.Context) error {
	if err := c.writeTokens(); err != nil {
		return err
	}
	p, err := process.Start(c.dir, "kube-apiserver", filepath.Join(c.programs, kubebin.APIServer), c.apiserverArgs())
	if err != nil {
		return err
	}
	c.apiserver = p
	config, err := c.RESTConfig(c.Admin())
	if err != nil {
		return err
	}
	config.Host = c.LoopbackURL()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("make a client of %s: %w", c.name, err)
	}
	defer client.CloseIdleConnections()
	// The first two are made by controllers inside the API server after it says that it is ready.
	return p.WaitReady(ctx, func(ctx context.Context) error {
		for _, path := range []string{"/readyz", "/api/v1/namespaces/default", "/api/v1/namespaces/kube-system", "/api/v1/namespaces/default/services/kubernetes"} {
			if err := getOK(ctx, client, config.Host+path); err != nil {
				return err
			}
		}
		return nil
	})
}
