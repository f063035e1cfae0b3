package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/linkspan/linkspan/pkg/gateway/clients"
)

// PeerIdentity gives the identity of the other side: the first DNS SAN of its leaf, in lower case
// (GW-10). The result is a plain DNS name without wildcard or trailing dot, so it can go into headers
// and logs as it is. A certificate without such a name is an error. It does not verify the
// certificate: the handshake under a configuration of Store did.
func PeerIdentity(state tls.ConnectionState) (string, error) {
	if len(state.PeerCertificates) == 0 {
		return "", &handshakeError{reason: ReasonNoCertificate, text: "the peer presented no certificate"}
	}
	return identityOf(state.PeerCertificates[0])
}

func identityOf(leaf *x509.Certificate) (string, error) {
	if len(leaf.DNSNames) == 0 {
		return "", &handshakeError{reason: ReasonNoIdentity, text: "the certificate has no DNS SAN, which is where an identity is"}
	}
	name, err := canonicalName(leaf.DNSNames[0])
	if err != nil {
		return "", &handshakeError{reason: ReasonNoIdentity, text: "the certificate's first DNS SAN is no identity: " + err.Error()}
	}
	return name, nil
}

// hasIdentity says whether name, in lower case, is exactly one of the leaf's DNS SANs. A wildcard
// never matches, although x509's own check of host names lets it.
func hasIdentity(leaf *x509.Certificate, name string) bool {
	return slices.ContainsFunc(leaf.DNSNames, func(san string) bool {
		canonical, err := canonicalName(san)
		return err == nil && canonical == name
	})
}

// canonicalName gives an identity in lower case. What one may be is said by package clients, whose lists name
// them. Letters are looked at before they are made small: some of other scripts, such as the
// Kelvin sign, have a small form that is ASCII.
func canonicalName(name string) (string, error) {
	if err := clients.CheckName(name); err != nil {
		return "", fmt.Errorf("%s %w: identities are DNS names", quoted(name), err)
	}
	return strings.ToLower(name), nil
}

// quoted shows what others wrote: bounded, and without control characters.
func quoted(text string) string { return fmt.Sprintf("%.100q", text) }

// quotedNames shows some of the names of a certificate.
func quotedNames(names []string) string {
	const shown = 3
	var parts []string
	for _, name := range names[:min(len(names), shown)] {
		parts = append(parts, quoted(name))
	}
	if more := len(names) - shown; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	if len(parts) == 0 {
		return "no name"
	}
	return strings.Join(parts, ", ")
}
