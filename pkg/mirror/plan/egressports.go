package plan

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// EgressPorts are the ports that our egress listens on for one mirror, by the number of the mirror's
// TCP port. Both numbers are at least 1.
type EgressPorts map[int32]uint16

// String is the value of the annotation linkspan.io/egress-ports, such as "80=20001,443=20002".
func (e EgressPorts) String() string {
	var b strings.Builder
	for i, port := range slices.Sorted(maps.Keys(e)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(port)))
		b.WriteByte('=')
		b.WriteString(strconv.Itoa(int(e[port])))
	}
	return b.String()
}

// ParseEgressPorts reads the annotation. What is malformed, or repeats a number on either side, is left
// out, so that one slip of somebody's hand does not move the other ports. At most MaxPorts are read.
func ParseEgressPorts(text string) EgressPorts {
	ports, taken := EgressPorts{}, map[uint16]bool{}
	for entry := range strings.SplitSeq(text, ",") {
		if len(ports) == MaxPorts {
			break
		}
		left, right, _ := strings.Cut(entry, "=")
		service, ok := portOf(left)
		egress, ok2 := portOf(right)
		if _, repeated := ports[int32(service)]; !ok || !ok2 || repeated || taken[egress] {
			continue
		}
		ports[int32(service)], taken[egress] = egress, true
	}
	return ports
}

func portOf(text string) (uint16, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil && n > 0
}

// Of keeps what belongs to the TCP ports of a Service.
func (e EgressPorts) Of(ports []corev1.ServicePort) EgressPorts {
	kept := make(EgressPorts, len(ports))
	for i := range ports {
		if egress, ok := e[ports[i].Port]; ok && protocolOf(ports[i].Protocol) == corev1.ProtocolTCP {
			kept[ports[i].Port] = egress
		}
	}
	return kept
}
