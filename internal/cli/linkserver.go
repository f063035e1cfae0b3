package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/linkspan/linkspan/pkg/link"
)

// targetServer is how the other cluster will reach this one's API server.
type targetServer struct {
	url        *url.URL
	caData     []byte
	serverName string
	// proxy is for the other cluster; localProxy works from this machine only.
	proxy, localProxy string
	overridden        bool
}

func (s targetServer) kubeconfig(user, token string) link.KubeconfigSpec {
	return link.KubeconfigSpec{
		Server: s.url.String(), CAData: s.caData, TLSServerName: s.serverName, ProxyURL: s.proxy,
		User: user, Token: token,
	}
}

// server takes the cluster of the current context, with files inlined, since paths of this machine
// mean nothing to the other cluster (LESSON-49).
func (o *linkOptions) server(globals *globalOptions) (targetServer, error) {
	entry, err := currentCluster(globals)
	if err != nil {
		return targetServer{}, err
	}
	if entry.InsecureSkipTLSVerify {
		return targetServer{}, errors.New("the kubeconfig's cluster has insecure-skip-tls-verify: give it certificate-authority-data, since a link verifies its target")
	}
	s := targetServer{caData: entry.CertificateAuthorityData, serverName: entry.TLSServerName}
	if len(s.caData) == 0 && entry.CertificateAuthority != "" {
		if s.caData, err = os.ReadFile(entry.CertificateAuthority); err != nil {
			return targetServer{}, fmt.Errorf("reading the kubeconfig's certificate-authority: %w", err)
		}
	}
	address := entry.Server
	if o.apiServerAddress != "" {
		address, s.overridden = o.apiServerAddress, true
	}
	if s.url, err = checkServer(address, s.overridden); err != nil {
		return targetServer{}, err
	}
	if proxy, err := url.Parse(entry.ProxyURL); err == nil && entry.ProxyURL != "" {
		if isLocalHost(proxy.Hostname()) {
			s.localProxy = entry.ProxyURL
		} else {
			s.proxy = entry.ProxyURL
		}
	}
	return s, nil
}

// currentCluster is the cluster entry of the context in use, with its paths made absolute.
func currentCluster(globals *globalOptions) (*clientcmdapi.Cluster, error) {
	raw, err := globals.loader().RawConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	name := raw.CurrentContext
	if globals.context != "" {
		name = globals.context
	}
	context, ok := raw.Contexts[name]
	if !ok {
		return nil, fmt.Errorf("the kubeconfig has no context %q: choose one with --context", name)
	}
	cluster, ok := raw.Clusters[context.Cluster]
	if !ok {
		return nil, fmt.Errorf("the kubeconfig has no cluster %q, which context %q names", context.Cluster, name)
	}
	return cluster, nil
}

// checkServer refuses addresses that mean another machine, or none, elsewhere (LINK-7). An address
// given on the command line is taken at its word in that respect.
func checkServer(address string, overridden bool) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		if overridden {
			return nil, errors.New("--api-server-address must be a URL such as https://api.east.example:6443")
		}
		return nil, errors.New("the kubeconfig's server is not a plain https:// URL: give one with --api-server-address")
	}
	if !overridden && isLocalHost(u.Hostname()) {
		return nil, fmt.Errorf("the kubeconfig's server %s means this machine, so another cluster cannot use it: "+
			"give the address at which others reach this cluster with --api-server-address", u.Redacted())
	}
	return u, nil
}

// isLocalHost says whether a host means the machine that looks it up.
func isLocalHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		ip = ip.Unmap()
		return ip.IsLoopback() || ip.IsUnspecified() || ip.IsLinkLocalUnicast()
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return strings.HasSuffix(host, ".localhost") || slices.Contains([]string{
		"localhost", "localhost.localdomain", "ip6-localhost", "host.docker.internal", "gateway.docker.internal",
		"kubernetes.docker.internal", "host.k3d.internal", "host.minikube.internal", "host.containers.internal", "host.lima.internal",
	}, host)
}

// isPrivateIP says whether a host is an address that others may not be able to reach.
func isPrivateIP(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsPrivate()
}
