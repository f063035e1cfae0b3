package rig

import (
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// ServiceOption changes a Service before it is created.
type ServiceOption func(*corev1.Service)

// Service has no selector and one port, http 80, unless options say otherwise.
func Service(namespace, name string, options ...ServiceOption) *corev1.Service {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{Port("http", 80)}},
	}
	for _, option := range options {
		option(service)
	}
	return service
}

// Port is a TCP port.
func Port(name string, port int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: port, Protocol: corev1.ProtocolTCP}
}

// Exported sets the export label: v1alpha3.ExportedGateway or v1alpha3.ExportedRemoteDiscovery.
func Exported(mode string) ServiceOption { return WithLabel(v1alpha3.LabelExported, mode) }

// WithLabel adds a label.
func WithLabel(key, value string) ServiceOption {
	return func(service *corev1.Service) { service.Labels = with(service.Labels, key, value) }
}

// WithAnnotation adds an annotation.
func WithAnnotation(key, value string) ServiceOption {
	return func(service *corev1.Service) { service.Annotations = with(service.Annotations, key, value) }
}

// WithPorts replaces the ports.
func WithPorts(ports ...corev1.ServicePort) ServiceOption {
	return func(service *corev1.Service) { service.Spec.Ports = ports }
}

// WithSelector gives the Service a selector, as EndpointSlice controllers want.
func WithSelector(key, value string) ServiceOption {
	return func(service *corev1.Service) { service.Spec.Selector = with(service.Spec.Selector, key, value) }
}

// Headless makes the Service headless.
func Headless() ServiceOption {
	return func(service *corev1.Service) { service.Spec.ClusterIP = corev1.ClusterIPNone }
}

func with(labels map[string]string, key, value string) map[string]string {
	labels = maps.Clone(labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[key] = value
	return labels
}

// SliceOption changes an EndpointSlice before it is created.
type SliceOption func(*discoveryv1.EndpointSlice)

// EndpointSlice is what the EndpointSlice controller would make of ready pods with these addresses:
// it carries the Service's labels and, for each of its ports, the same port number. The family is
// that of the first address.
func EndpointSlice(service *corev1.Service, addresses []string, options ...SliceOption) *discoveryv1.EndpointSlice {
	labels := with(service.Labels, discoveryv1.LabelServiceName, service.Name)
	labels[discoveryv1.LabelManagedBy] = "endpointslice-controller.k8s.io"
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: service.Namespace, Name: service.Name + "-1", Labels: labels},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	if len(addresses) > 0 && strings.Contains(addresses[0], ":") {
		slice.AddressType = discoveryv1.AddressTypeIPv6
	}
	for _, address := range addresses {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{address},
			Conditions: discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true), Terminating: new(false)},
		})
	}
	for _, port := range service.Spec.Ports {
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{
			Name: new(port.Name), Port: new(port.Port), Protocol: new(port.Protocol), AppProtocol: port.AppProtocol,
		})
	}
	for _, option := range options {
		option(slice)
	}
	return slice
}

// SliceNamed renames the slice, for a Service with several.
func SliceNamed(name string) SliceOption {
	return func(slice *discoveryv1.EndpointSlice) { slice.Name = name }
}

// NotReady makes every endpoint not ready.
func NotReady() SliceOption {
	return func(slice *discoveryv1.EndpointSlice) {
		for i := range slice.Endpoints {
			slice.Endpoints[i].Conditions = discoveryv1.EndpointConditions{Ready: new(false), Serving: new(false), Terminating: new(false)}
		}
	}
}

// HandMade is a slice that a user wrote for a Service without a selector: none of the Service's labels.
func HandMade() SliceOption {
	return func(slice *discoveryv1.EndpointSlice) {
		slice.Labels = map[string]string{
			discoveryv1.LabelServiceName: slice.Labels[discoveryv1.LabelServiceName],
			discoveryv1.LabelManagedBy:   "users.example",
		}
	}
}

// LinkOption changes a Link before it is created.
type LinkOption func(*v1alpha3.Link)

// Link links to a target through credentials in the Secret of CredentialsSecret, with Linkerd's
// default selectors and no gateway.
func Link(namespace, target string, options ...LinkOption) *v1alpha3.Link {
	link := &v1alpha3.Link{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: target},
		Spec: v1alpha3.LinkSpec{
			TargetClusterName:        target,
			TargetClusterDomain:      "cluster.local",
			ClusterCredentialsSecret: CredentialsName(target),
			Selector:                 exportedAs(v1alpha3.ExportedGateway),
			RemoteDiscoverySelector:  exportedAs(v1alpha3.ExportedRemoteDiscovery),
		},
	}
	for _, option := range options {
		option(link)
	}
	return link
}

func exportedAs(mode string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha3.LabelExported: mode}}
}

// WithGateway gives the Link a gateway (addresses separated by commas) and a fast probe of it.
func WithGateway(addresses string, port, probePort int) LinkOption {
	return func(link *v1alpha3.Link) {
		link.Spec.GatewayAddress = addresses
		link.Spec.GatewayPort = fmt.Sprint(port)
		link.Spec.GatewayIdentity = "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
		link.Spec.ProbeSpec = v1alpha3.ProbeSpec{
			Path: "/ready", Port: fmt.Sprint(probePort), Period: "1s", Timeout: "1s", FailureThreshold: "2",
		}
	}
}

// CredentialsName is the established name of a target's credentials Secret.
func CredentialsName(target string) string { return "cluster-credentials-" + target }

// CredentialsSecret holds a kubeconfig for a Link to target.
func CredentialsSecret(namespace, target string, kubeconfig []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: CredentialsName(target)},
		Type:       v1alpha3.SecretTypeRemoteKubeconfig,
		Data:       map[string][]byte{v1alpha3.SecretKeyKubeconfig: kubeconfig},
	}
}
