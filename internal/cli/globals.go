package cli

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

const (
	defaultLinkerdNamespace = "linkerd"
	// requestTimeout bounds each request, so that a black hole is an error and not a hang.
	requestTimeout = 15 * time.Second
)

// globalOptions are the flags that every command has (CLI-2).
type globalOptions struct {
	kubeconfig       string
	context          string
	as               string
	asGroups         []string
	verbose          bool
	linkerdNamespace string
}

func (o *globalOptions) bind(fs *pflag.FlagSet) {
	namespace := os.Getenv("LINKERD_NAMESPACE")
	if namespace == "" {
		namespace = defaultLinkerdNamespace
	}
	fs.StringVar(&o.kubeconfig, "kubeconfig", "", "path of the kubeconfig file to use")
	fs.StringVar(&o.context, "context", "", "name of the kubeconfig context to use")
	fs.StringVar(&o.as, "as", "", "user to impersonate")
	fs.StringArrayVar(&o.asGroups, "as-group", nil, "group to impersonate; may be repeated")
	fs.BoolVar(&o.verbose, "verbose", false, "tell of every request on standard error")
	fs.StringVarP(&o.linkerdNamespace, "linkerd-namespace", "L", namespace, "namespace of Linkerd's control plane ($LINKERD_NAMESPACE)")
	bindIgnored(fs, "api-addr")
}

// bindIgnored accepts a flag of Linkerd's command that means nothing here, so that scripts need no change.
func bindIgnored(fs *pflag.FlagSet, name string) {
	_ = fs.String(name, "", "accepted as Linkerd's command does, and without effect")
	_ = fs.MarkHidden(name) // it fails for names that do not exist
}

func (o *globalOptions) validate() error {
	if len(o.asGroups) > 0 && o.as == "" {
		return errors.New("--as-group needs --as: name the user to impersonate")
	}
	return validateNamespace("--linkerd-namespace", o.linkerdNamespace)
}

func validateNamespace(flag, value string) error {
	if len(validation.IsDNS1123Label(value)) > 0 {
		return fmt.Errorf("%s %q must be the name of a namespace", flag, value)
	}
	return nil
}

// loader reads kubeconfig files as kubectl does.
func (o *globalOptions) loader() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: o.context}
	overrides.AuthInfo.Impersonate = o.as
	overrides.AuthInfo.ImpersonateGroups = o.asGroups
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
}

// restConfig is the configuration of a client that acts as the person at the keyboard.
func (o *globalOptions) restConfig(streams Streams) (*rest.Config, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	config, err := o.loader().ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig (see --kubeconfig and --context): %w", err)
	}
	return o.tune(config, streams), nil
}

// tune sets what all our clients have in common.
func (o *globalOptions) tune(config *rest.Config, streams Streams) *rest.Config {
	config.QPS = -1
	config.Timeout = requestTimeout
	config.UserAgent = "linkspan-cli"
	if o.verbose {
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return tracer{next: next, streams: streams}
		})
	}
	return config
}

// client acts as the person at the keyboard.
func (o *globalOptions) client(streams Streams) (client.Client, error) {
	config, err := o.restConfig(streams)
	if err != nil {
		return nil, err
	}
	return newClient(config)
}

// newClient knows the kinds that commands read. It asks the server for no list of kinds, which an
// account with few permissions might be refused.
func newClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha3.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("building the scheme: %w", err)
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"Service", "Secret", "ConfigMap", "ServiceAccount", "Pod"} {
		mapper.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), meta.RESTScopeRoot)
	mapper.Add(discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), meta.RESTScopeNamespace)
	mapper.Add(v1alpha3.GroupVersion.WithKind("Link"), meta.RESTScopeNamespace)
	c, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return c, nil
}

// tracer tells of requests: method, path and outcome, no headers and no bodies.
type tracer struct {
	next    http.RoundTripper
	streams Streams
}

// RoundTrip passes the request on and tells of it.
func (t tracer) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.next.RoundTrip(r)
	outcome := "failed"
	if err == nil {
		outcome = response.Status
	}
	t.streams.note("%s %s%s: %s", r.Method, r.URL.Host, r.URL.Path, outcome)
	return response, err
}
