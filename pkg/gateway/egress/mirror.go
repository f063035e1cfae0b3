package egress

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// mirror is what is kept of a mirror Service. It is never changed once made.
type mirror struct {
	name types.NamespacedName
	uid  types.UID
	// cluster is the target that it names.
	cluster string
	// service is the remote Service, in the namespace of the same name, and fqName what the mirror calls it.
	service, fqName string
	// tcp are the numbers of its TCP ports.
	tcp map[uint16]struct{}
	// claims are its egress ports, each of one of tcp.
	claims []claim
	// faults are what is wrong with it. With refused it leads nowhere for their sake.
	faults  []Fault
	refused bool
}

// describe takes out of a Service what is kept of it; nil where it is no mirror of one remote Service. A
// mirror that is being deleted may be held by somebody's finalizer for long: it ends with the wish.
func describe(svc *corev1.Service) *mirror {
	cluster := svc.Labels[v1alpha3.LabelClusterName]
	if svc.Labels[v1alpha3.LabelMirroredService] != "true" || cluster == "" || svc.DeletionTimestamp != nil {
		return nil
	}
	m := &mirror{
		name:    types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name},
		uid:     svc.UID,
		cluster: cluster, fqName: svc.Annotations[v1alpha3.AnnotationRemoteServiceFQName],
		tcp: tcpPorts(svc.Spec.Ports),
	}
	text := svc.Annotations[v1alpha3.AnnotationEgressPorts]
	if cause, what := m.readTarget(); cause != "" {
		m.refused = true
		if text != "" { // else it never was to go through the egress
			m.fault(cause, what)
		}
		return m
	}
	claims, faults := parsePorts(text)
	for _, what := range faults {
		m.fault(CausePorts, what)
	}
	for _, c := range claims {
		// Of a port that has just gone, or is not TCP, nobody can be a client.
		if _, ok := m.tcp[c.service]; ok {
			m.claims = append(m.claims, c)
		}
	}
	return m
}

// readTarget says which remote Service a mirror stands for. Its name must be the one that the mirror
// of that Service has: whoever may write Services in a namespace reaches no other namespace through it.
//
// A mirror with the label of remote discovery is one that turns into it, or back: as long as it has
// egress ports there are slices that lead to them (MIR-12).
func (m *mirror) readTarget() (cause Cause, what string) {
	namespace, service, ok := link.SplitFQName(m.fqName)
	if !ok {
		return CauseTarget, "annotation " + v1alpha3.AnnotationRemoteServiceFQName + " is " + quote(m.fqName) +
			", must be <service>.<namespace>.svc.<domain> as the service mirror writes it"
	}
	if want := (link.Link{Cluster: m.cluster}).MirrorName(service); namespace != m.name.Namespace || want != m.name.Name {
		return CauseName, "the mirror of " + quote(m.fqName) + " in cluster " + quote(m.cluster) + " is Service " +
			quote(want) + " in namespace " + quote(namespace) + ": delete this one, which the service mirror did not make"
	}
	m.service = service
	return "", ""
}

func (m *mirror) fault(cause Cause, what string) {
	m.faults = append(m.faults, Fault{Object: "Service " + m.name.String(), Cause: cause, Text: what})
}

// serves says whether streams to a port of the mirror may go on.
func (m *mirror) serves(uid types.UID, port uint16) bool {
	if m == nil || m.refused || m.uid != uid {
		return false
	}
	_, ok := m.tcp[port]
	return ok
}

// same says whether two mirrors, or none, lead to the same places.
func (m *mirror) same(o *mirror) bool {
	if m == nil || o == nil {
		return m == o
	}
	return m.name == o.name && m.uid == o.uid &&
		m.cluster == o.cluster && m.fqName == o.fqName && m.refused == o.refused &&
		maps.Equal(m.tcp, o.tcp) && slices.Equal(m.claims, o.claims) && slices.Equal(m.faults, o.faults)
}

func tcpPorts(ports []corev1.ServicePort) map[uint16]struct{} {
	tcp := make(map[uint16]struct{}, len(ports))
	for i := range ports {
		p := &ports[i]
		if p.Port >= 1 && p.Port <= 65535 && (p.Protocol == "" || p.Protocol == corev1.ProtocolTCP) {
			tcp[uint16(p.Port)] = struct{}{}
		}
	}
	return tcp
}
