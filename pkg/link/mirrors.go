package link

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// StandsForRemote is true of Services that stand for one of another cluster, or for several: mirrors of any
// kind, whoever made them, and federated services. They are never exported.
func StandsForRemote(svc *corev1.Service) bool {
	for _, label := range [...]string{
		v1alpha3.LabelMirroredService, v1alpha3.LabelClusterName,
		v1alpha3.LabelHeadlessMirrorName, v1alpha3.LabelRemoteDiscovery,
	} {
		if _, ok := svc.Labels[label]; ok {
			return true
		}
	}
	_, remote := svc.Annotations[v1alpha3.AnnotationRemoteDiscovery]
	_, local := svc.Annotations[v1alpha3.AnnotationLocalDiscovery]
	return remote || local
}

// EgressProof is what an EndpointSlice of ours proves: which ports of our egress it leads the clients of a
// mirror to. Whoever may write Services can write the annotation of a mirror, but not that of its slices.
type EgressProof struct {
	Mirror  types.NamespacedName
	Cluster string
	// Ports is the text of the annotation linkspan.io/egress-ports, never empty.
	Ports string
}

// ProvesEgress reads an EndpointSlice; ok is false of slices that are not ours, or lead elsewhere.
func ProvesEgress(slice *discoveryv1.EndpointSlice) (proof EgressProof, ok bool) {
	proof = EgressProof{
		Mirror:  types.NamespacedName{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]},
		Cluster: slice.Labels[v1alpha3.LabelClusterName],
		Ports:   slice.Annotations[v1alpha3.AnnotationEgressPorts],
	}
	ok = slice.Labels[discoveryv1.LabelManagedBy] == v1alpha3.SliceManagedBy && proof.Mirror.Name != "" && proof.Cluster != "" && proof.Ports != ""
	return proof, ok
}

// GatewayPorts are the ports that a gateway pod listens on itself, for other gateways, and for probes and
// metrics. No mirror gets one of them.
func GatewayPorts() []uint16 { return []uint16{4143, 4191} }
