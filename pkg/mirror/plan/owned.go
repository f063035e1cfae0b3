package plan

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

const labelTrue = "true"

// Owned says whether a local Service is the mirror of the remote Service namespace/name over this
// Link, and so may be changed and deleted. Everything else of the mirror's name is a conflict
// (MIR-4, LESSON-8). Two Links can ask for the same name, as a-b from c and a from b-c do: the
// cluster's name on the mirror says whose it is (LESSON-19).
func Owned(svc *corev1.Service, l link.Link, namespace, name string) bool {
	if svc.Labels[v1alpha3.LabelMirroredService] != labelTrue || svc.Labels[v1alpha3.LabelClusterName] != l.Cluster {
		return false
	}
	if partOfHeadless(svc) || federated(svc) {
		return false
	}
	return names(svc.Annotations, namespace, name)
}

// partOfHeadless says whether a mirror is headless, or stands for one pod of a headless service.
func partOfHeadless(svc *corev1.Service) bool {
	_, perPod := svc.Labels[v1alpha3.LabelHeadlessMirrorName]
	return perPod || svc.Spec.ClusterIP == corev1.ClusterIPNone
}

// federated says whether a Service is the union of the services of several clusters.
func federated(svc *corev1.Service) bool {
	_, remote := svc.Annotations[v1alpha3.AnnotationRemoteDiscovery]
	_, local := svc.Annotations[v1alpha3.AnnotationLocalDiscovery]
	return remote || local
}

// names says whether an object's annotations name this remote Service, or none. The domain is not
// looked at: correcting it in the Link does not give up the mirrors.
func names(annotations map[string]string, namespace, name string) bool {
	fqName, ok := annotations[v1alpha3.AnnotationRemoteServiceFQName]
	if !ok {
		return true
	}
	ns, service, ok := link.SplitFQName(fqName)
	return ok && ns == namespace && service == name
}

// ownsSlice says whether we made a slice, for this Link and this service. Either of the two marks of
// the service will do: what somebody changes of them is put back. Whoever changes managed-by takes
// the slice over.
func (p *pass) ownsSlice(slice *discoveryv1.EndpointSlice) bool {
	_, named := slice.Annotations[v1alpha3.AnnotationRemoteServiceFQName]
	return slice.Labels[discoveryv1.LabelManagedBy] == v1alpha3.SliceManagedBy &&
		slice.Labels[v1alpha3.LabelMirroredService] == labelTrue &&
		slice.Labels[v1alpha3.LabelClusterName] == p.in.Link.Cluster &&
		(named || slice.Labels[discoveryv1.LabelServiceName] == p.mirror) &&
		names(slice.Annotations, p.in.Namespace, p.in.Name)
}

// modeOf is the mode of an existing mirror.
func modeOf(mirror *corev1.Service) link.Mode {
	if _, ok := mirror.Labels[v1alpha3.LabelRemoteDiscovery]; ok {
		return link.ModeRemoteDiscovery
	}
	return link.ModeGateway
}
