package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/ptr"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// applyService plans the write of the mirror itself, if it is not what it should be. Slices of the
// mode are settled when everything that replaces others is in place.
func (p *pass) applyService(mode link.Mode, settled bool) {
	want := p.serviceIntent(mode)
	hash := hashOf(want)
	adopting := p.own != nil && p.own.Annotations[v1alpha3.AnnotationAppliedHash] == ""
	adopted := adopting && settled && p.mayLoseEndpoints()
	if !adopting || adopted {
		want.Annotations[v1alpha3.AnnotationAppliedHash] = hash
	}
	// Not part of the hash: the remote Service's version moves with every change of its status, which
	// alone is not worth a write.
	want.Annotations[v1alpha3.AnnotationRemoteResourceVersion] = shown(p.in.Remote.Service.ResourceVersion)

	if p.own == nil {
		p.plan.Service = want
		return
	}
	if serviceMatches(p.own, want) {
		return
	}
	p.plan.Service = want.WithUID(p.own.UID)
	if adopting {
		p.plan.Adopt = &Adoption{
			Mirror:          Ref{Namespace: p.own.Namespace, Name: p.own.Name, UID: p.own.UID},
			RemoveEndpoints: adopted,
		}
	}
	if adopted {
		p.tell(v1alpha3.ReasonMirrorAdopted, fmt.Sprintf(
			"took over the mirror %s of %s from Linkerd's service mirror, with its cluster IP", p.mirror, p.fqName))
	}
	if was := modeOf(p.own); was != mode {
		p.tell(v1alpha3.ReasonMirrorConverted, fmt.Sprintf(
			"converted the mirror %s of %s from mode %s to mode %s, with its cluster IP", p.mirror, p.fqName, was, mode))
	}
}

// Who makes the slices and the Endpoints of a Service with a selector, and how the latter are marked.
const (
	endpointSliceController = "endpointslice-controller.k8s.io"
	endpointsController     = "endpoint-controller"
	endpointsManagedBy      = "endpoints.kubernetes.io/managed-by"
)

// unselect takes a selector off a mirror that stays (MIR-6), and deletes the slices and Endpoints that were made by it, of
// the local cluster's pods: Kubernetes leaves them behind.
func (p *pass) unselect() {
	if p.own == nil || p.own.DeletionTimestamp != nil || p.plan.DeleteService != nil {
		return
	}
	if len(p.own.Spec.Selector) > 0 {
		p.plan.Unselect = &Ref{Namespace: p.own.Namespace, Name: p.own.Name, UID: p.own.UID}
	}
	for _, name := range slices.Sorted(maps.Keys(p.named)) {
		p.deleteSelected(name, p.named[name])
	}
}

// deleteSelected deletes a slice that was made by a selector, or the Endpoints that it was made of.
func (p *pass) deleteSelected(name string, slice *discoveryv1.EndpointSlice) {
	switch owner := metav1.GetControllerOfNoCopy(slice); {
	case owner == nil || slice.Labels[discoveryv1.LabelServiceName] != p.mirror:
	case slice.Labels[discoveryv1.LabelManagedBy] == endpointSliceController && owner.UID == p.own.UID:
		p.deleteSlice(slice)
	case slice.Labels[discoveryv1.LabelManagedBy] == managedByMirroring && slice.Labels[endpointsManagedBy] == endpointsController:
		p.deleted[name] = true // with its owner
		p.plan.DeleteEndpoints = &Ref{Namespace: p.own.Namespace, Name: p.mirror, UID: owner.UID}
	}
}

// mayLoseEndpoints says whether the Endpoints object of Linkerd's controller can go without taking the last endpoint along
// that may work: one of ours is ready, or none of its own leads on. A dead gateway is not enough: what blocks our probes need
// not block clients, and Linkerd's controller empties the object of ready addresses itself when its own probes fail.
func (p *pass) mayLoseEndpoints() bool {
	ours, theirs := false, false
	for name, slice := range p.named {
		if slice.Labels[discoveryv1.LabelServiceName] != p.mirror || p.deleted[name] {
			continue
		}
		ours = ours || p.ownsSlice(slice) && anyReady(slice.Endpoints)
		theirs = theirs || slice.Labels[discoveryv1.LabelManagedBy] == managedByMirroring && p.leadsOn(slice.Endpoints)
	}
	return ours || !theirs
}

// leadsOn says whether a ready endpoint of Linkerd's is still a way to the remote service: where that has a ready
// endpoint itself, an address of the gateway as the Link has it now, and one that traffic may be sent to.
func (p *pass) leadsOn(endpoints []discoveryv1.Endpoint) bool {
	return RemoteReady(p.in.Remote.Slices) && slices.ContainsFunc(endpoints, func(e discoveryv1.Endpoint) bool {
		return anyReady([]discoveryv1.Endpoint{e}) && slices.ContainsFunc(e.Addresses, func(address string) bool {
			ip, err := netip.ParseAddr(address)
			return err == nil && RefusedAddress(ip.Unmap(), p.in.Policy.LocalNetworks) == "" &&
				slices.ContainsFunc(p.gatewayAddresses(nil), func(a GatewayAddress) bool { return a.IP == ip.Unmap() })
		})
	})
}

// serviceIntent is the mirror: see the package comment for what it takes over. Annotations are never nil.
func (p *pass) serviceIntent(mode link.Mode) *corev1ac.ServiceApplyConfiguration {
	labels := p.copiedLabels()
	labels[v1alpha3.LabelMirroredService] = labelTrue
	labels[v1alpha3.LabelClusterName] = p.in.Link.Cluster
	if mode == link.ModeRemoteDiscovery {
		labels[v1alpha3.LabelRemoteDiscovery] = p.in.Link.Cluster
		labels[v1alpha3.LabelRemoteService] = p.in.Name
	}
	annotations := p.copiedAnnotations()
	annotations[v1alpha3.AnnotationRemoteServiceFQName] = p.fqName
	if ports := p.egressAnnotation(mode); ports != "" {
		annotations[v1alpha3.AnnotationEgressPorts] = ports
	}

	remote := &p.in.Remote.Service.Spec
	spec := corev1ac.ServiceSpec().
		WithType(corev1.ServiceTypeClusterIP).
		WithIPFamilyPolicy(corev1.IPFamilyPolicyPreferDualStack)
	for _, port := range remote.Ports {
		spec.WithPorts(servicePort(port))
	}
	if remote.SessionAffinity == corev1.ServiceAffinityClientIP {
		// With its timeout always: a default that nobody owns would outlast the affinity, and the API
		// server refuses a timeout without one. Affinity None is left out for the same reason.
		spec.WithSessionAffinity(corev1.ServiceAffinityClientIP).
			WithSessionAffinityConfig(corev1ac.SessionAffinityConfig().
				WithClientIP(corev1ac.ClientIPConfig().WithTimeoutSeconds(affinityTimeout(remote))))
	}
	if d := remote.TrafficDistribution; d != nil && mode == link.ModeRemoteDiscovery {
		switch *d {
		case corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone:
			spec.WithTrafficDistribution(*d)
		}
	}
	return corev1ac.Service(p.mirror, p.in.Namespace).WithLabels(labels).WithAnnotations(annotations).WithSpec(spec)
}

// servicePort always sets the name, an empty one too: slices are matched to ports by it.
func servicePort(port corev1.ServicePort) *corev1ac.ServicePortApplyConfiguration {
	ac := corev1ac.ServicePort().
		WithName(port.Name).
		WithProtocol(protocolOf(port.Protocol)).
		WithPort(port.Port)
	if app := appProtocol(port.AppProtocol); app != nil {
		ac.WithAppProtocol(*app)
	}
	return ac
}

// appProtocol is a valid application protocol or nil.
func appProtocol(app *string) *string {
	if app == nil || len(validation.IsQualifiedName(*app)) > 0 {
		return nil
	}
	return new(*app)
}

// maxAffinityTimeout is the API server's limit, a day in seconds.
const maxAffinityTimeout = 86400

// affinityTimeout is the default where a target gives none, or one that no API server accepts.
func affinityTimeout(spec *corev1.ServiceSpec) int32 {
	if c := spec.SessionAffinityConfig; c != nil && c.ClientIP != nil {
		if t := ptr.Deref(c.ClientIP.TimeoutSeconds, 0); t > 0 && t <= maxAffinityTimeout {
			return t
		}
	}
	return corev1.DefaultClientIPServiceAffinitySeconds
}
