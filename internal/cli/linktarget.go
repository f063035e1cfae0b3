package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// token is the service account's: the long-lived one of its Secret, or a new one with an end.
func (o *linkOptions) token(ctx context.Context, admin client.Client) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: o.serviceAccount, Namespace: o.namespace}}
	if o.tokenExpiry != 0 {
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: new(int64(o.tokenExpiry / time.Second)),
		}}
		if err := admin.SubResource("token").Create(ctx, account, request); err != nil {
			return "", o.explainAccount("asking for a token", err)
		}
		return request.Status.Token, nil
	}
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: o.namespace, Name: tokenSecretName(o.serviceAccount)}
	if err := admin.Get(ctx, key, secret); err != nil {
		return "", o.explainAccount("reading Secret "+key.String(), err)
	}
	if secret.Type != corev1.SecretTypeServiceAccountToken || secret.Annotations[corev1.ServiceAccountNameKey] != o.serviceAccount {
		return "", fmt.Errorf("the Secret %s is not a token of service account %s: make one with mirror allow", key, o.serviceAccount)
	}
	token := secret.Data[corev1.ServiceAccountTokenKey]
	if len(token) == 0 {
		return "", fmt.Errorf("the Secret %s holds no token yet: see that service account %s exists, then try again in a moment", key, o.serviceAccount)
	}
	return string(token), nil
}

func (o *linkOptions) explainAccount(doing string, err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s: not found: make the account with mirror allow --namespace %s --service-account-name %s, apply it to this cluster, and try again: %w",
			doing, o.namespace, o.serviceAccount, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// linkerdConfig is what a link takes from Linkerd's configuration.
type linkerdConfig struct{ trustDomain, clusterDomain string }

// readLinkerd is nil when no Linkerd runs in the namespace.
func readLinkerd(ctx context.Context, c client.Client, namespace string) (*linkerdConfig, error) {
	config := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: namespace, Name: "linkerd-config"}
	if err := c.Get(ctx, key, config); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("looking for Linkerd's ConfigMap %s: %w", key, err)
	}
	var values struct {
		IdentityTrustDomain string `json:"identityTrustDomain"`
		ClusterDomain       string `json:"clusterDomain"`
	}
	if err := yaml.Unmarshal([]byte(config.Data["values"]), &values); err != nil {
		return nil, fmt.Errorf("the key values of ConfigMap %s is not YAML of the expected shape: %w", key, err)
	}
	found := &linkerdConfig{trustDomain: values.IdentityTrustDomain, clusterDomain: values.ClusterDomain}
	if found.clusterDomain == "" {
		found.clusterDomain = link.DefaultClusterDomain
	}
	if found.trustDomain == "" {
		found.trustDomain = found.clusterDomain
	}
	return found, nil
}

// readGateway learns the gateway's addresses, ports, identity and probe from its Service.
func (o *linkOptions) readGateway(ctx context.Context, streams Streams, c client.Client) (*link.GatewaySpec, error) {
	service := &corev1.Service{}
	key := client.ObjectKey{Namespace: o.gatewayNamespace, Name: o.gatewayName}
	if err := c.Get(ctx, key, service); apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no gateway Service %s: name it with --gateway-namespace and --gateway-name, or link pod-to-pod only with --gateway=false", key)
	} else if err != nil {
		return nil, fmt.Errorf("reading the gateway's Service %s: %w", key, err)
	}
	spec, err := gatewaySpec(service, splitList(o.gatewayAddresses), o.gatewayPort)
	if err != nil {
		return nil, fmt.Errorf("gateway %s: %w", key, err)
	}
	if spec.Identity == "" {
		streams.note("The gateway's Service has no annotation %s: clients in a mesh cannot verify the gateway, and clients that go through the egress get nowhere, "+
			"because the egress dials no gateway that it cannot verify. Annotate the Service with the name in the gateway's certificate and link again, "+
			"or set gatewayIdentity in the Link.", v1alpha3.AnnotationGatewayIdentity)
	}
	return spec, nil
}

// gatewaySpec turns a gateway's Service into what a Link says of it.
func gatewaySpec(service *corev1.Service, addresses []string, port uint16) (*link.GatewaySpec, error) {
	if len(addresses) == 0 {
		addresses = ingressAddresses(service)
	}
	if len(addresses) == 0 {
		return nil, errors.New("its Service has no load balancer address: wait for one, or give the addresses with --gateway-addresses")
	}
	if port == 0 {
		var err error
		if port, err = servicePort(service, v1alpha3.PortNameGateway); err != nil {
			return nil, err
		}
	}
	probe, err := gatewayProbe(service)
	if err != nil {
		return nil, err
	}
	return &link.GatewaySpec{
		Addresses: addresses, Port: port, Identity: service.Annotations[v1alpha3.AnnotationGatewayIdentity], Probe: probe,
	}, nil
}

func ingressAddresses(service *corev1.Service) []string {
	var addresses []string
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		switch {
		case ingress.IP != "":
			addresses = append(addresses, ingress.IP)
		case ingress.Hostname != "":
			addresses = append(addresses, ingress.Hostname)
		}
	}
	return addresses
}

// servicePort is the port at which the gateway is reached from outside.
func servicePort(service *corev1.Service, name string) (uint16, error) {
	for _, p := range service.Spec.Ports {
		if p.Name != name {
			continue
		}
		port := p.Port
		if service.Spec.Type == corev1.ServiceTypeNodePort {
			port = p.NodePort
		}
		if port < 1 || port > math.MaxUint16 {
			return 0, fmt.Errorf("its port %s has no number yet", name)
		}
		return uint16(port), nil
	}
	return 0, fmt.Errorf("its Service has no port named %s", name)
}

// gatewayProbe writes optional fields only where the Service asks for them, because old definitions
// of Link do not know them.
func gatewayProbe(service *corev1.Service) (v1alpha3.ProbeSpec, error) {
	port, err := servicePort(service, v1alpha3.PortNameProbe)
	if err != nil {
		return v1alpha3.ProbeSpec{}, err
	}
	probe := v1alpha3.ProbeSpec{
		Path:             service.Annotations[v1alpha3.AnnotationProbePath],
		Port:             strconv.Itoa(int(port)),
		Period:           link.DefaultProbePeriod.String(),
		Timeout:          service.Annotations[v1alpha3.AnnotationProbeTimeout],
		FailureThreshold: service.Annotations[v1alpha3.AnnotationProbeFailureThreshold],
	}
	if probe.Path == "" {
		probe.Path = link.DefaultProbePath
	}
	if value := service.Annotations[v1alpha3.AnnotationProbePeriod]; value != "" {
		period, ok := link.ParsePeriod(value)
		if !ok {
			return v1alpha3.ProbeSpec{}, fmt.Errorf("its annotation %s is %q: write seconds, or a duration such as 3s", v1alpha3.AnnotationProbePeriod, value)
		}
		probe.Period = period.String()
	}
	return probe, nil
}
