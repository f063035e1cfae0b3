package rig

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// UserAgent is what clients made by the rig call themselves, so that audits can leave them out.
const UserAgent = "linkspan-rig"

// User is somebody whom an API server knows: by a token when there is one, else by a client
// certificate that is made when a kubeconfig or client is asked for.
type User struct {
	Name   string
	Groups []string
	Token  string
}

// Admin may do everything.
func (c *Cluster) Admin() User {
	return User{Name: "rig-admin", Groups: []string{"system:masters"}}
}

// KubeconfigOption changes a kubeconfig before it is written.
type KubeconfigOption func(*clientcmdapi.Config)

// Server replaces the API server's URL, such as by a proxy's.
func Server(url string) KubeconfigOption {
	return func(config *clientcmdapi.Config) {
		for _, cluster := range config.Clusters {
			cluster.Server = url
		}
	}
}

// CertificateAuthority replaces the CA, such as by another cluster's.
func CertificateAuthority(pem []byte) KubeconfigOption {
	return func(config *clientcmdapi.Config) {
		for _, cluster := range config.Clusters {
			cluster.CertificateAuthorityData = pem
		}
	}
}

// Kubeconfig has one context, named after the cluster, with all certificates inlined.
func (c *Cluster) Kubeconfig(user User, options ...KubeconfigOption) ([]byte, error) {
	auth := &clientcmdapi.AuthInfo{Token: user.Token}
	if user.Token == "" {
		pair, err := c.ca.client(user.Name, user.Groups)
		if err != nil {
			return nil, err
		}
		auth.ClientCertificateData, auth.ClientKeyData = pair.cert, pair.key
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[c.name] = &clientcmdapi.Cluster{Server: c.URL(), CertificateAuthorityData: c.ca.pem}
	config.AuthInfos[user.Name] = auth
	config.Contexts[c.name] = &clientcmdapi.Context{Cluster: c.name, AuthInfo: user.Name}
	config.CurrentContext = c.name
	for _, option := range options {
		option(config)
	}
	data, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("write a kubeconfig for %s: %w", c.name, err)
	}
	return data, nil
}

// KubeconfigFile writes a kubeconfig into the cluster's folder and returns its path.
func (c *Cluster) KubeconfigFile(user User, options ...KubeconfigOption) (string, error) {
	data, err := c.Kubeconfig(user, options...)
	if err != nil {
		return "", err
	}
	file, err := os.CreateTemp(c.dir, "*.kubeconfig")
	if err != nil {
		return "", fmt.Errorf("make a kubeconfig file: %w", err)
	}
	if err := file.Close(); err != nil {
		return "", fmt.Errorf("make a kubeconfig file: %w", err)
	}
	return file.Name(), writeFiles(c.dir, map[string][]byte{filepath.Base(file.Name()): data})
}

// RESTConfig has no client-side rate limit.
func (c *Cluster) RESTConfig(user User, options ...KubeconfigOption) (*rest.Config, error) {
	data, err := c.Kubeconfig(user, options...)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(data)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig of %s: %w", c.name, err)
	}
	config.QPS = -1
	config.UserAgent = UserAgent
	return config, nil
}

// ClientFor is a client for one user, with the rig's scheme. What the API server can do is asked once,
// by the administrator, so that a user's first request is the only one in the audit log.
func (c *Cluster) ClientFor(user User) (client.WithWatch, error) {
	config, err := c.RESTConfig(user)
	if err != nil {
		return nil, err
	}
	options := client.Options{Scheme: c.scheme}
	if c.admin != nil {
		options.Mapper = c.admin.RESTMapper()
	}
	made, err := client.NewWithWatch(config, options)
	if err != nil {
		return nil, fmt.Errorf("make a client of %s for %s: %w", c.name, user.Name, err)
	}
	return made, nil
}
