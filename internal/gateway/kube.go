package gateway

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// namespaceFile holds the namespace of the pod that we run in.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// ownNamespace is that of the pod that we run in, empty elsewhere.
func ownNamespace() string {
	data, err := os.ReadFile(namespaceFile)
	if err != nil {
		return "" // not in a pod
	}
	return strings.TrimSpace(string(data))
}

// cluster is the configuration of clients of our own cluster: what the flags name, then the cluster
// that we run in, then the user's kubeconfig.
func (o *Options) cluster(userAgent string) (*rest.Config, error) {
	config, err := o.load()
	if err != nil {
		return nil, err
	}
	// A few watches need no limit of ours, and the API server has its own fairness.
	config.QPS = -1
	config.UserAgent = userAgent
	return config, nil
}

func (o *Options) load() (*rest.Config, error) {
	if o.Kubeconfig == "" && o.Context == "" {
		config, err := rest.InClusterConfig()
		if err == nil {
			return config, nil
		}
		if !errors.Is(err, rest.ErrNotInCluster) {
			return nil, fmt.Errorf("reading the pod's own credentials: %w", err)
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: o.Context}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, errors.New("no cluster to read from: give --kubeconfig, or run in a pod")
	case err != nil:
		return nil, fmt.Errorf("reading the kubeconfig (see --kubeconfig and --context): %w", err)
	}
	return config, nil
}
