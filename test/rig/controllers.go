package rig

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/linkspan/linkspan/test/rig/kubebin"
	"github.com/linkspan/linkspan/test/rig/process"
)

// Names of kube-controller-manager's controllers that tests ask for.
const (
	EndpointSliceController      = "endpointslice-controller"
	EndpointSliceMirroring       = "endpointslice-mirroring-controller"
	EndpointsController          = "endpoints-controller"
	NamespaceController          = "namespace-controller"
	GarbageCollector             = "garbage-collector-controller"
	ServiceAccountController     = "serviceaccount-controller"
	ServiceAccountTokens         = "serviceaccount-token-controller"
	ResourceQuotaController      = "resourcequota-controller"
	ClusterRoleAggregation       = "clusterrole-aggregation-controller"
	LegacyTokenCleanerController = "legacy-serviceaccount-token-cleaner-controller"
)

// StartControllers runs kube-controller-manager with the named controllers, from now on and after
// every Start. Called again, it replaces the list.
func (c *Cluster) StartControllers(ctx context.Context, names ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.controllers != nil {
		if err := c.controllers.Kill(); err != nil {
			return err
		}
	}
	c.options.Controllers = names
	return c.startControllers(ctx)
}

func (c *Cluster) startControllers(ctx context.Context) error {
	kubeconfig, err := c.adminFile()
	if err != nil {
		return err
	}
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	path := func(name string) string { return filepath.Join(c.dir, name) }
	p, err := process.Start(c.dir, "kube-controller-manager", filepath.Join(c.programs, kubebin.ControllerManager), append([]string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--authorization-always-allow-paths=/healthz",
		"--controllers=" + strings.Join(c.options.Controllers, ","),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", ports[0]),
		"--tls-cert-file=" + path(fileCert),
		"--tls-private-key-file=" + path(fileKey),
		"--leader-elect=false",
		"--service-cluster-ip-range=" + strings.Join(c.options.ServiceCIDRs, ","),
		"--root-ca-file=" + path(fileClientCA),
		"--service-account-private-key-file=" + path(fileTokenKey),
		"--kube-api-qps=1000",
		"--kube-api-burst=1000",
		"--profiling=false",
	}, c.options.ControllerArgs...))
	if err != nil {
		return fmt.Errorf("cluster %s: %w", c.name, err)
	}
	c.controllers = p
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: c.tlsConfig(), DisableKeepAlives: true}}
	return p.WaitReady(ctx, func(ctx context.Context) error {
		return getOK(ctx, client, fmt.Sprintf("https://127.0.0.1:%d/healthz", ports[0]))
	})
}
