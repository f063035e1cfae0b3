package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// Reasons why a handshake failed: all values that FailureReason gives, for labels of metrics.
const (
	ReasonEOF              = "eof"               // the other side, or we, closed the connection
	ReasonTimeout          = "timeout"           // a deadline passed
	ReasonNotTLS           = "not_tls"           // the other side speaks something else, such as plain HTTP
	ReasonNoCertificate    = "no_certificate"    // no certificate was presented
	ReasonUnknownAuthority = "unknown_authority" // the chain leads to no anchor
	ReasonExpired          = "expired"           // a certificate of the chain has expired
	ReasonNotYetValid      = "not_yet_valid"     // a certificate is not valid yet, or a clock is wrong
	ReasonWrongName        = "wrong_name"        // the server is somebody else
	ReasonNotPermitted     = "not_permitted"     // an issuer of the chain may not sign for this name (RFC 5280 section 4.2.1.10)
	ReasonNoIdentity       = "no_identity"       // the client's certificate has no DNS SAN that is an identity
	ReasonNoALPN           = "no_alpn"           // no protocol that both sides speak
	ReasonProtocolVersion  = "protocol_version"  // no TLS 1.3
	ReasonOther            = "other"
)

// FailureReasons lists them all, so that each can have a series from the start.
func FailureReasons() []string {
	return []string{
		ReasonEOF, ReasonTimeout, ReasonNotTLS, ReasonNoCertificate, ReasonUnknownAuthority, ReasonExpired,
		ReasonNotYetValid, ReasonWrongName, ReasonNotPermitted, ReasonNoIdentity, ReasonNoALPN, ReasonProtocolVersion, ReasonOther,
	}
}

// FailureReason puts the error of a handshake, of either side, into one of a few classes. What the
// other side says in an alert is believed; it knows less exactly, so that ReasonExpired of a remote
// error can mean not yet valid (RFC 8446, section 6.2). In TLS 1.3 a client learns that it was refused
// only by its first read after the handshake; that error may be given here too. Of nil it is empty.
func FailureReason(err error) string {
	if err == nil {
		return ""
	}
	if ours, ok := errors.AsType[*handshakeError](err); ok {
		return ours.reason
	}
	for _, classify := range []func(error) string{certificateReason, alertReason, transportReason, textReason} {
		if reason := classify(err); reason != "" {
			return reason
		}
	}
	return ReasonOther
}

// handshakeError is a refusal of our own.
type handshakeError struct{ reason, text string }

func (e *handshakeError) Error() string { return e.text }

func certificateReason(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return ReasonUnknownAuthority
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return ReasonWrongName
	}
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case ok && invalid.Reason == x509.CANotAuthorizedForThisName:
		return ReasonNotPermitted
	case !ok || invalid.Reason != x509.Expired:
		return ""
	case strings.Contains(invalid.Detail, " is before "): // one reason for both, told apart by the text alone
		return ReasonNotYetValid
	default:
		return ReasonExpired
	}
}

// alertReason reads what the other side said. The type of these alerts is not exported, but their
// text is that of tls.AlertError. Numbers are those of RFC 8446, section 6.
func alertReason(err error) string {
	opErr, ok := errors.AsType[*net.OpError](err)
	if !ok || opErr.Op != "remote error" || opErr.Err == nil {
		return ""
	}
	for alert, reason := range map[tls.AlertError]string{
		45:  ReasonExpired,
		48:  ReasonUnknownAuthority,
		70:  ReasonProtocolVersion,
		112: ReasonWrongName,
		116: ReasonNoCertificate,
		120: ReasonNoALPN,
	} {
		if opErr.Err.Error() == alert.Error() {
			return reason
		}
	}
	return ReasonOther
}

func transportReason(err error) string {
	if netErr, ok := errors.AsType[net.Error](err); errors.Is(err, context.DeadlineExceeded) || ok && netErr.Timeout() {
		return ReasonTimeout
	}
	for _, closed := range []error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, context.Canceled,
	} {
		if errors.Is(err, closed) {
			return ReasonEOF
		}
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return ReasonNotTLS
	}
	return ""
}

// textReason knows errors of crypto/tls that have no type. Tests with real handshakes tell when a
// new version of Go words them otherwise.
func textReason(err error) string {
	for _, known := range []struct{ text, reason string }{
		{"tls: client didn't provide a certificate", ReasonNoCertificate},
		{"tls: client requested unsupported application protocols", ReasonNoALPN},
		{"tls: server selected unadvertised ALPN protocol", ReasonNoALPN},
		{"tls: client offered only unsupported versions", ReasonProtocolVersion},
		{"tls: server selected unsupported protocol version", ReasonProtocolVersion},
	} {
		if strings.Contains(err.Error(), known.text) {
			return known.reason
		}
	}
	return ""
}
