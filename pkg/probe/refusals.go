package probe

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// The texts of this file reach Links' status. They hold nothing that the other side sent, but for
// names of certificates by way of namesOf.

var errNoProtocol = errors.New("no application protocol (ALPN) was agreed on, " +
	"so what listens is not a multicluster gateway: set the Link's gatewayPort to the gateway's port for traffic")

// errWrongName is a certificate that does not prove the identity.
type errWrongName struct {
	certificates []*x509.Certificate
	identity     string // was validated with its Link
}

func (e errWrongName) Error() string { return "the certificate does not prove " + e.identity }

// text puts what the other side did into words, if it did anything.
func (h *handshake) text(err error, now time.Time) (string, bool) {
	if said, ok := alertOf(err); ok {
		return refusalText(said, h.identity), true
	}
	if wrong, ok := errors.AsType[errWrongName](err); ok {
		return wrongNameText(wrong.certificates, h.identity), true
	}
	if host, ok := errors.AsType[x509.HostnameError](err); ok {
		return wrongNameText([]*x509.Certificate{host.Certificate}, h.identity), true
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return invalidText(invalid, now), true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the gateway's certificate does not lead to our trust anchors: both clusters need an anchor in common", true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the port does not speak TLS: set the Link's gatewayPort to the gateway's port for traffic", true
	}
	return errNoProtocol.Error(), errors.Is(err, errNoProtocol)
}

func wrongNameText(certificates []*x509.Certificate, identity string) string {
	if len(certificates) == 0 || certificates[0] == nil {
		return fmt.Sprintf("there is no certificate that names %q", identity)
	}
	return fmt.Sprintf("the certificate names %s, and must name %q: "+
		"the Link's gatewayIdentity or gatewayAddress is that of another gateway", namesOf(certificates[0]), identity)
}

// invalidText tells a leaf from what is above it, because other people have to renew the one and the
// other, and names the clocks, which are as likely a cause (CERT-15).
func invalidText(invalid x509.CertificateInvalidError, now time.Time) string {
	which := "the gateway's certificate"
	if invalid.Cert != nil && invalid.Cert.IsCA {
		which = "an issuer of the gateway's certificate"
	}
	switch {
	case invalid.Reason != x509.Expired || invalid.Cert == nil:
		return which + " is not valid: " + cleaned(invalid.Error())
	case now.Before(invalid.Cert.NotBefore):
		return fmt.Sprintf("%s is not valid before %s: it is likely that the clocks of the clusters differ",
			which, invalid.Cert.NotBefore.UTC().Format(time.RFC3339))
	default:
		return fmt.Sprintf("%s expired at %s: renew it, unless our clock is wrong",
			which, invalid.Cert.NotAfter.UTC().Format(time.RFC3339))
	}
}

func isDate(err error) bool {
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	return ok && invalid.Reason == x509.Expired
}

// alertOf is the alert that the other side sent, in crypto/tls's words: its type is not exported, but
// the texts are of a fixed list.
func alertOf(err error) (string, bool) {
	opErr, ok := errors.AsType[*net.OpError](err)
	if !ok || opErr.Op != "remote error" || opErr.Err == nil {
		return "", false
	}
	return strings.TrimPrefix(opErr.Err.Error(), "tls: "), true
}

// refusalText explains the alerts (RFC 8446, section 6.2) that a setting or a certificate can mend.
func refusalText(said, identity string) string {
	const refused = "the gateway refused our certificate: "
	switch said {
	case "no application protocol":
		return errNoProtocol.Error()
	case "protocol version not supported":
		return "the port does not speak TLS 1.3, so what listens is not a multicluster gateway"
	case "unrecognized name":
		return fmt.Sprintf("the port serves other names than %q", identity)
	case "certificate required":
		return "the gateway asks for a client certificate that leads to its trust anchors, and probes have none"
	case "unknown certificate authority":
		return refused + "it does not lead to the gateway's trust anchors; both clusters need an anchor in common"
	case "expired certificate":
		return refused + "it is expired or not yet valid by the gateway's clock"
	case "bad certificate", "unsupported certificate", "revoked certificate", "unknown certificate", "access denied":
		return refused + said
	default:
		return "the gateway ended the handshake: " + cleaned(said)
	}
}
