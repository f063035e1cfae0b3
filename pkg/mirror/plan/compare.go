package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/ptr"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// hashOf identifies an intent. Intents always encode; were one not to, it would still have a hash of
// its own and converge.
func hashOf(intent any) string {
	body, err := json.Marshal(intent)
	if err != nil {
		body = []byte(err.Error())
	}
	return shortHash(body, 16)
}

// shortHash is so many hexadecimal digits of a digest.
func shortHash(body []byte, digits int) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])[:digits]
}

// serviceMatches says whether a mirror has everything that is wanted of it.
func serviceMatches(have *corev1.Service, want *corev1ac.ServiceApplyConfiguration) bool {
	return contains(have.Labels, want.Labels) &&
		containsAnnotations(have.Annotations, want.Annotations) &&
		specMatches(&have.Spec, want.Spec)
}

func specMatches(have *corev1.ServiceSpec, want *corev1ac.ServiceSpecApplyConfiguration) bool {
	switch {
	case have.Type != *want.Type,
		ptr.Deref(have.IPFamilyPolicy, "") != *want.IPFamilyPolicy:
		return false
	case want.SessionAffinity != nil &&
		(have.SessionAffinity != *want.SessionAffinity || affinityTimeout(have) != *want.SessionAffinityConfig.ClientIP.TimeoutSeconds):
		return false
	case want.TrafficDistribution != nil && !ptr.Equal(have.TrafficDistribution, want.TrafficDistribution):
		return false
	}
	for i := range want.Ports {
		if !hasPort(have.Ports, &want.Ports[i]) {
			return false
		}
	}
	return true
}

// hasPort finds a port by what identifies it in a Service, number and protocol.
func hasPort(have []corev1.ServicePort, want *corev1ac.ServicePortApplyConfiguration) bool {
	for i := range have {
		h := &have[i]
		if h.Port == *want.Port && protocolOf(h.Protocol) == *want.Protocol {
			return h.Name == *want.Name && (want.AppProtocol == nil || ptr.Equal(h.AppProtocol, want.AppProtocol))
		}
	}
	return false
}

// contains says whether have has every entry of want; others may have added more.
func contains(have, want map[string]string) bool {
	for key, value := range want {
		if got, ok := have[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// containsAnnotations does not mind which version of the remote Service was seen last.
func containsAnnotations(have, want map[string]string) bool {
	for key, value := range want {
		got, ok := have[key]
		if !ok || (got != value && key != v1alpha3.AnnotationRemoteResourceVersion) {
			return false
		}
	}
	return true
}

// portsEqual compares the ports of two slices; the API server fills in an empty name and TCP.
func portsEqual(have, want []discoveryv1.EndpointPort) bool {
	return slices.EqualFunc(have, want, func(a, b discoveryv1.EndpointPort) bool {
		return ptr.Deref(a.Name, "") == ptr.Deref(b.Name, "") &&
			ptr.Deref(a.Protocol, corev1.ProtocolTCP) == ptr.Deref(b.Protocol, corev1.ProtocolTCP) &&
			ptr.Equal(a.Port, b.Port) && ptr.Equal(a.AppProtocol, b.AppProtocol)
	})
}

// endpointsEqual compares endpoints exactly: the list is atomic, so nobody's additions live in it.
func endpointsEqual(have, want []discoveryv1.Endpoint) bool {
	if len(have) != len(want) {
		return false
	}
	for i := range have {
		if !endpointEqual(&have[i], &want[i]) {
			return false
		}
	}
	return true
}

func endpointEqual(have, want *discoveryv1.Endpoint) bool {
	return slices.Equal(have.Addresses, want.Addresses) &&
		ptr.Equal(have.Conditions.Ready, want.Conditions.Ready) &&
		ptr.Equal(have.Conditions.Serving, want.Conditions.Serving) &&
		ptr.Equal(have.Conditions.Terminating, want.Conditions.Terminating) &&
		ptr.Equal(have.Hostname, want.Hostname) && ptr.Equal(have.Zone, want.Zone) &&
		ptr.Equal(have.NodeName, want.NodeName) && have.TargetRef == nil && have.Hints == nil
}
