package plan

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// MaxPorts is the most ports of a mirror and of each of its slices. Kubernetes permits 20 000 in a
// slice and names no limit for a Service, but with the record of who owns each port so many do not
// fit into one object.
const MaxPorts = 1000

// refusedPorts says which port of a Service no API server would accept, and what mends it. It is
// refused here, because a write that is always rejected would be tried for ever.
func refusedPorts(ports []corev1.ServicePort) (reason, message string) {
	if len(ports) > MaxPorts {
		return v1alpha3.ReasonInvalidService, fmt.Sprintf("the Service has %d ports and at most %d are mirrored: "+
			"spread them over several Services", len(ports), MaxPorts)
	}
	seen := portsSeen{names: map[string]bool{}, numbers: map[portNumber]bool{}}
	for i := range ports {
		if flaw := seen.flaw(&ports[i], len(ports) > 1); flaw != "" {
			return v1alpha3.ReasonInvalidService, fmt.Sprintf("spec.ports[%d] of the Service (name %q, port %d, protocol %q) %s",
				i, shown(ports[i].Name), ports[i].Port, shown(string(ports[i].Protocol)), flaw)
		}
	}
	return "", ""
}

// portNumber is what must be unique among the ports of a Service, besides the name.
type portNumber struct {
	number   int32
	protocol corev1.Protocol
}

// portsSeen are the ports before the one that is looked at.
type portsSeen struct {
	names   map[string]bool
	numbers map[portNumber]bool
}

// flaw says what is wrong with a port and what mends it.
func (s portsSeen) flaw(port *corev1.ServicePort, named bool) string {
	key := portNumber{port.Port, protocolOf(port.Protocol)}
	switch {
	case len(validation.IsValidPortNum(int(port.Port))) > 0:
		return "has an invalid number: give it one from 1 to 65535"
	case !knownProtocol(key.protocol):
		return "has an unknown protocol: make it TCP, UDP or SCTP"
	case port.Name == "" && named:
		return "has no name, which each of several ports needs: name it"
	case port.Name != "" && len(validation.IsDNS1123Label(port.Name)) > 0:
		return fmt.Sprintf("has an invalid name: give it one of at most %d lower-case letters, digits and hyphens", validation.DNS1123LabelMaxLength)
	case s.names[port.Name]:
		return "has the name of an earlier port: give it one of its own"
	case s.numbers[key]:
		return "has the number and protocol of an earlier port: remove one of the two"
	}
	s.names[port.Name], s.numbers[key] = true, true
	return ""
}

func knownProtocol(p corev1.Protocol) bool {
	return p == corev1.ProtocolTCP || p == corev1.ProtocolUDP || p == corev1.ProtocolSCTP
}
