package link

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// Defaults of a Link made here, the same as Linkerd's.
const (
	DefaultNamespace                = "linkerd-multicluster"
	DefaultServiceAccount           = "linkerd-service-mirror-remote-access-default"
	DefaultSelector                 = v1alpha3.LabelExported + "=" + v1alpha3.ExportedGateway
	DefaultRemoteDiscoverySelector  = v1alpha3.LabelExported + "=" + v1alpha3.ExportedRemoteDiscovery
	DefaultFederatedServiceSelector = v1alpha3.LabelFederated + "=" + v1alpha3.FederatedMember
)

// Spec is what a link is made of: everything that was learnt about a target.
type Spec struct {
	// Cluster names the target; a DNS label.
	Cluster string
	// Namespace is where Link and credentials go; empty leaves it to whoever applies them.
	Namespace string
	// Domain is the target's cluster domain; empty means cluster.local.
	Domain string

	Kubeconfig KubeconfigSpec
	// ControlPlane is set when Linkerd runs in the target.
	ControlPlane *ControlPlaneSpec
	// Gateway is nil for a link without one.
	Gateway *GatewaySpec

	// Selectors: nil means Linkerd's default, an empty selector selects nothing.
	Selector                 *metav1.LabelSelector
	RemoteDiscoverySelector  *metav1.LabelSelector
	FederatedServiceSelector *metav1.LabelSelector

	ExcludedAnnotations []string
	ExcludedLabels      []string
}

// KubeconfigSpec is what the credentials' kubeconfig holds.
type KubeconfigSpec struct {
	Server        string
	CAData        []byte
	TLSServerName string
	ProxyURL      string
	// User is the name of the entry, by convention that of the service account.
	User  string
	Token string
}

// ControlPlaneSpec describes Linkerd in the target.
type ControlPlaneSpec struct {
	// Namespace is where Linkerd runs; the second copy of the credentials goes to the namespace of the
	// same name in the source, for its destination service.
	Namespace   string
	TrustDomain string
}

// GatewaySpec describes the target's gateway.
type GatewaySpec struct {
	Addresses []string
	Port      uint16
	Identity  string
	Probe     v1alpha3.ProbeSpec
}

// Manifest is a link as API objects, ready to be applied in the source cluster.
type Manifest struct {
	Credentials *corev1.Secret
	// ControlPlaneCredentials is nil when no Linkerd runs in the target.
	ControlPlaneCredentials *corev1.Secret
	Link                    *v1alpha3.Link
}

// Objects are the manifest's objects in the order in which to apply them.
func (m Manifest) Objects() []runtime.Object {
	objects := []runtime.Object{m.Credentials}
	if m.ControlPlaneCredentials != nil {
		objects = append(objects, m.ControlPlaneCredentials)
	}
	return append(objects, m.Link)
}

// SecretName is the name of the credentials Secret of a cluster.
func SecretName(cluster string) string { return v1alpha3.SecretNamePrefix + cluster }

// Make makes a link. The same spec gives the same objects, and what it gives passes Parse and
// ParseKubeconfig.
func Make(spec Spec) (Manifest, error) {
	if spec.Gateway != nil && len(spec.Gateway.Addresses) == 0 {
		return Manifest{}, errors.New("making the Link: the gateway has no address")
	}
	obj := makeLink(spec)
	if _, err := Parse(obj); err != nil {
		return Manifest{}, fmt.Errorf("making the Link: %w", err)
	}
	kubeconfig, err := MakeKubeconfig(spec.Cluster, spec.Kubeconfig)
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{Link: obj, Credentials: makeSecret(spec.Cluster, spec.Namespace, kubeconfig)}
	if spec.ControlPlane != nil {
		if spec.ControlPlane.Namespace == "" {
			return Manifest{}, errors.New("making the control plane's credentials: its namespace is missing")
		}
		m.ControlPlaneCredentials = makeControlPlaneSecret(spec, kubeconfig)
	}
	return m, nil
}

// MakeKubeconfig writes a kubeconfig with one context, named after the cluster. The same spec gives
// the same bytes.
func MakeKubeconfig(cluster string, spec KubeconfigSpec) ([]byte, error) {
	config := clientcmdv1.Config{
		APIVersion:     "v1",
		Kind:           "Config",
		CurrentContext: cluster,
		Clusters: []clientcmdv1.NamedCluster{{Name: cluster, Cluster: clientcmdv1.Cluster{
			Server:                   spec.Server,
			CertificateAuthorityData: spec.CAData,
			TLSServerName:            spec.TLSServerName,
			ProxyURL:                 spec.ProxyURL,
		}}},
		AuthInfos: []clientcmdv1.NamedAuthInfo{{Name: spec.User, AuthInfo: clientcmdv1.AuthInfo{Token: spec.Token}}},
		Contexts: []clientcmdv1.NamedContext{{Name: cluster, Context: clientcmdv1.Context{
			Cluster: cluster, AuthInfo: spec.User,
		}}},
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return nil, errors.New("making the kubeconfig: it cannot be written as YAML")
	}
	if _, err := ParseKubeconfig(data, KubeconfigOptions{}); err != nil {
		return nil, fmt.Errorf("making the kubeconfig: %w", err)
	}
	return data, nil
}

func makeSecret(cluster, namespace string, kubeconfig []byte) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: SecretName(cluster), Namespace: namespace},
		Type:       v1alpha3.SecretTypeRemoteKubeconfig,
		Data:       map[string][]byte{v1alpha3.SecretKeyKubeconfig: kubeconfig},
	}
}

// makeControlPlaneSecret is the copy that Linkerd's destination service finds by its label.
func makeControlPlaneSecret(spec Spec, kubeconfig []byte) *corev1.Secret {
	s := makeSecret(spec.Cluster, spec.ControlPlane.Namespace, kubeconfig)
	s.Labels = map[string]string{v1alpha3.LabelCredentialsCluster: spec.Cluster}
	s.Annotations = map[string]string{
		v1alpha3.AnnotationTrustDomain:   spec.ControlPlane.TrustDomain,
		v1alpha3.AnnotationClusterDomain: orDefault(spec.Domain, DefaultClusterDomain),
	}
	return s
}

func makeLink(spec Spec) *v1alpha3.Link {
	obj := &v1alpha3.Link{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha3.GroupVersion.String(), Kind: "Link"},
		ObjectMeta: metav1.ObjectMeta{Name: spec.Cluster, Namespace: spec.Namespace},
		Spec: v1alpha3.LinkSpec{
			TargetClusterName:        spec.Cluster,
			TargetClusterDomain:      orDefault(spec.Domain, DefaultClusterDomain),
			ClusterCredentialsSecret: SecretName(spec.Cluster),
			// Also without a gateway: a service exported through one must be seen to be reported (MIR-3).
			Selector:                 selectorOr(spec.Selector, v1alpha3.LabelExported, v1alpha3.ExportedGateway),
			RemoteDiscoverySelector:  selectorOr(spec.RemoteDiscoverySelector, v1alpha3.LabelExported, v1alpha3.ExportedRemoteDiscovery),
			FederatedServiceSelector: selectorOr(spec.FederatedServiceSelector, v1alpha3.LabelFederated, v1alpha3.FederatedMember),
			ExcludedAnnotations:      spec.ExcludedAnnotations,
			ExcludedLabels:           spec.ExcludedLabels,
		},
	}
	if spec.ControlPlane != nil {
		obj.Spec.TargetClusterLinkerdNamespace = spec.ControlPlane.Namespace
	}
	if g := spec.Gateway; g != nil {
		obj.Spec.GatewayAddress = strings.Join(g.Addresses, ",")
		obj.Spec.GatewayPort = strconv.Itoa(int(g.Port))
		obj.Spec.GatewayIdentity = g.Identity
		obj.Spec.ProbeSpec = g.Probe
	}
	return obj
}

func selectorOr(s *metav1.LabelSelector, key, value string) *metav1.LabelSelector {
	if s != nil {
		return s
	}
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func orDefault(value, def string) string {
	if value == "" {
		return def
	}
	return value
}
