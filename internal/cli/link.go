package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/pkg/link"
)

// linkOptions have the names that users know from Linkerd's link-gen.
type linkOptions struct {
	clusterName      string
	namespace        string
	apiServerAddress string
	serviceAccount   string
	tokenExpiry      time.Duration
	clusterDomain    string

	gateway          bool
	gatewayName      string
	gatewayNamespace string
	gatewayAddresses string
	gatewayPort      uint16

	selector                 string
	remoteDiscoverySelector  string
	federatedServiceSelector string
	excludedAnnotations      []string
	excludedLabels           []string

	output manifestOutput
}

func (o *linkOptions) bind(fs *pflag.FlagSet) {
	fs.StringVar(&o.clusterName, "cluster-name", "", "name of this cluster, as the other one will call it (required)")
	fs.StringVar(&o.namespace, "namespace", link.DefaultNamespace, "namespace of the service account here, and of the Link there")
	fs.StringVar(&o.apiServerAddress, "api-server-address", "", "URL at which the other cluster reaches this one's API server; the kubeconfig's when empty")
	bindServiceAccount(fs, &o.serviceAccount)
	fs.DurationVar(&o.tokenExpiry, "token-expiry", 0, "ask for a token of this life instead of using the one that never expires")
	fs.StringVar(&o.clusterDomain, "cluster-domain", "", "this cluster's DNS domain; Linkerd's setting when empty, else "+link.DefaultClusterDomain)
	fs.BoolVar(&o.gateway, "gateway", true, "link through this cluster's gateway; false for pod-to-pod only")
	fs.StringVar(&o.gatewayName, "gateway-name", "linkerd-gateway", "name of the gateway's Service")
	fs.StringVar(&o.gatewayNamespace, "gateway-namespace", link.DefaultNamespace, "namespace of the gateway's Service")
	fs.StringVar(&o.gatewayAddresses, "gateway-addresses", "", "addresses of the gateway, separated by commas, instead of those of its Service")
	fs.Uint16Var(&o.gatewayPort, "gateway-port", 0, "port of the gateway, instead of that of its Service")
	fs.StringVarP(&o.selector, "selector", "l", link.DefaultSelector, "label selector of the services mirrored through the gateway")
	fs.StringVar(&o.remoteDiscoverySelector, "remote-discovery-selector", link.DefaultRemoteDiscoverySelector, "label selector of the services mirrored pod to pod")
	fs.StringVar(&o.federatedServiceSelector, "federated-service-selector", link.DefaultFederatedServiceSelector, "label selector of the members of federated services")
	fs.StringSliceVar(&o.excludedAnnotations, "excluded-annotations", nil, "annotations not copied to mirrors: exact keys, or prefix/*")
	fs.StringSliceVar(&o.excludedLabels, "excluded-labels", nil, "labels not copied to mirrors: exact keys, or prefix/*")
	o.output.bind(fs)
}

func (o *linkOptions) validate() error {
	errs := []error{
		validateNamespace("--namespace", o.namespace),
		validateNamespace("--gateway-namespace", o.gatewayNamespace),
		validateServiceAccount(o.serviceAccount),
		validateTokenExpiry(o.tokenExpiry),
		o.output.validate(),
	}
	if o.clusterName == "" {
		errs = append(errs, errors.New("--cluster-name is required: it becomes the suffix of every mirror's name"))
	} else if link.ValidateClusterName(o.clusterName) != nil {
		errs = append(errs, fmt.Errorf("--cluster-name %q must be a DNS label (at most 63 lower-case letters, digits and '-')", o.clusterName))
	}
	if !o.gateway && (o.gatewayAddresses != "" || o.gatewayPort != 0) {
		errs = append(errs, errors.New("--gateway=false excludes --gateway-addresses and --gateway-port"))
	}
	return errors.Join(errs...)
}

func newLinkCommand(streams Streams, globals *globalOptions) *cobra.Command {
	o := &linkOptions{}
	cmd := &cobra.Command{
		Use:   "link",
		Short: "Print what another cluster needs to mirror this one's exported services",
		Long: `Print what another cluster needs to mirror this one's exported services.

Run it in the context of the target, the cluster that exports services, and apply the output in the
source, the cluster that is to see them. A link goes one way: for the other direction make another
link from the other cluster. The target needs an account for it, see mirror allow.`,
		Example: `  # Let west see what east exports:
  mirror --context=east link --cluster-name east | kubectl --context=west apply -f -`,
		Args: arguments.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, globals)
		},
	}
	o.bind(cmd.Flags())
	return cmd
}

func (o *linkOptions) run(ctx context.Context, streams Streams, globals *globalOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	config, err := globals.restConfig(streams)
	if err != nil {
		return err
	}
	server, err := o.server(globals)
	if err != nil {
		return err
	}
	admin, err := newClient(config)
	if err != nil {
		return err
	}
	spec, err := o.spec(ctx, streams, admin, globals.linkerdNamespace)
	if err != nil {
		return err
	}
	token, err := o.token(ctx, admin)
	if err != nil {
		return err
	}
	spec.Kubeconfig = server.kubeconfig(o.serviceAccount, token)
	manifest, err := link.Make(spec)
	if err != nil {
		return err
	}
	if err := verify(ctx, streams, globals, manifest, server); err != nil {
		return err
	}
	if err := o.output.write(streams, manifest.Objects()); err != nil {
		return err
	}
	o.explain(streams, server.url, manifest)
	return nil
}

// spec reads from the target what a link is made of, credentials apart.
func (o *linkOptions) spec(ctx context.Context, streams Streams, admin client.Client, linkerdNamespace string) (link.Spec, error) {
	spec := link.Spec{
		Cluster: o.clusterName, Namespace: o.namespace, Domain: o.clusterDomain,
		ExcludedAnnotations: o.excludedAnnotations, ExcludedLabels: o.excludedLabels,
	}
	for _, s := range []struct {
		flag, value string
		into        **metav1.LabelSelector
	}{
		{"--selector", o.selector, &spec.Selector},
		{"--remote-discovery-selector", o.remoteDiscoverySelector, &spec.RemoteDiscoverySelector},
		{"--federated-service-selector", o.federatedServiceSelector, &spec.FederatedServiceSelector},
	} {
		selector, err := metav1.ParseToLabelSelector(s.value)
		if err != nil {
			return link.Spec{}, fmt.Errorf("%s %q is not a label selector: %w", s.flag, s.value, err)
		}
		*s.into = selector
	}
	linkerd, err := readLinkerd(ctx, admin, linkerdNamespace)
	if err != nil {
		return link.Spec{}, err
	}
	if linkerd != nil {
		spec.ControlPlane = &link.ControlPlaneSpec{Namespace: linkerdNamespace, TrustDomain: linkerd.trustDomain}
		if spec.Domain == "" {
			spec.Domain = linkerd.clusterDomain
		}
	}
	if o.gateway {
		if spec.Gateway, err = o.readGateway(ctx, streams, admin); err != nil {
			return link.Spec{}, err
		}
	}
	return spec, nil
}

// explain says what the output permits, and to whom (LINK-3).
func (o *linkOptions) explain(streams Streams, server *url.URL, m link.Manifest) {
	streams.note("This lets whoever applies it read the services and endpoint slices of cluster %s at %s.", o.clusterName, server.Redacted())
	streams.note("It goes one way: the cluster where it is applied will see the services that %s exports.", o.clusterName)
	if m.Link.Spec.GatewayAddress == "" {
		streams.note("The link has no gateway: services exported with %s=%s will be reported, not mirrored.", v1alpha3.LabelExported, v1alpha3.ExportedGateway)
	}
	if m.ControlPlaneCredentials != nil {
		streams.note("Linkerd runs here, so a second Secret goes to namespace %s for the control plane there.", m.ControlPlaneCredentials.Namespace)
	} else {
		streams.note("No Linkerd was found here (--linkerd-namespace): pod-to-pod traffic (%s=%s) is not encrypted unless the applications do it.",
			v1alpha3.LabelExported, v1alpha3.ExportedRemoteDiscovery)
	}
}

// splitList splits at commas and leaves out blanks.
func splitList(s string) []string {
	var parts []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}
