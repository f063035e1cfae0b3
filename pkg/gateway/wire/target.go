package wire

import (
	"fmt"
	"strings"
)

// Lengths of RFC 1035 §2.3.4, in bytes; a name is counted without the dot at its end.
const (
	maxLabel   = 63
	maxDNSName = 253
)

// Target is what the name in a header stands for: a Service, or one pod of a headless Service.
type Target struct {
	// Hostname is the pod's hostname, empty where the Service as a whole is meant.
	Hostname string
	// Service and Namespace name the Service.
	Service   string
	Namespace string
}

// String is the target's name without the domain of its cluster, such as web.shop.svc.
func (t Target) String() string {
	name := t.Service + "." + t.Namespace + ".svc"
	if t.Hostname != "" {
		return t.Hostname + "." + name
	}
	return name
}

// ParseTarget takes a name of the form <service>.<namespace>.svc.<domain>, or the same with a
// <hostname> in front, apart. The domain is the cluster's own, without dots at its ends. It is taken
// off first and as a whole, so that neither a part called "svc" nor the number of its labels makes a
// name ambiguous.
//
// The name must be written as Kubernetes writes it: labels of RFC 1123 in lower case, at most 253
// bytes, and no dot at the end. What a client sends is compared with names of objects and becomes part
// of logs, and one spelling for each target keeps policy from being asked about another name than is
// reached. Nothing is looked up. The empty name, which stands for the gateway itself, is no target.
//
// An *Error has ReasonDomain for names outside the domain and for a domain that is none, else ReasonTarget.
func ParseTarget(name, domain string) (Target, error) {
	if len(name) > maxDNSName {
		return Target{}, notTarget("name of %d bytes, at most %d are accepted", len(name), maxDNSName)
	}
	if err := checkLabels(strings.Split(domain, ".")); err != nil {
		return Target{}, &Error{ReasonDomain, fmt.Errorf("cluster domain %s must be one such as cluster.local: %w", quote(domain), err)}
	}
	inside, ok := strings.CutSuffix(name, ".svc."+domain)
	if !ok {
		return Target{}, &Error{ReasonDomain, fmt.Errorf("name %s is not in %s", quote(name), quote("svc."+domain))}
	}
	labels := strings.Split(inside, ".")
	if err := checkLabels(labels); err != nil {
		return Target{}, notTarget("name %s: %w", quote(name), err)
	}
	switch len(labels) {
	case 2:
		return Target{Service: labels[0], Namespace: labels[1]}, nil
	case 3:
		return Target{Hostname: labels[0], Service: labels[1], Namespace: labels[2]}, nil
	default:
		return Target{}, notTarget("name %s has %d labels in front of svc, must have 2, or 3 for a pod", quote(name), len(labels))
	}
}

// checkLabels names the first label that Kubernetes would not have as a name. Names of Services could
// be held to RFC 1035, which wants a letter first, but newer versions of Kubernetes accept a digit.
func checkLabels(labels []string) error {
	for _, label := range labels {
		if !isLabel(label) {
			return fmt.Errorf("%s is not a DNS label (1 to %d lower-case letters, digits and '-', which is neither first nor last)", quote(label), maxLabel)
		}
	}
	return nil
}

func isLabel(s string) bool {
	if s == "" || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

func notTarget(format string, args ...any) error {
	return &Error{ReasonTarget, fmt.Errorf(format, args...)}
}
