package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// Failure is why a target cannot be used, in words for the Link's Connected condition.
type Failure struct {
	// Reason is one of the connection reasons of api/v1alpha3.
	Reason string
	// Err says what was tried and what came of it; it never holds credentials.
	Err error
	// Permanent failures are not retried on a timer's haste: the Link, its Secret or another Link
	// must change first.
	Permanent bool
}

// Error implements error.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap implements errors.Unwrap.
func (f *Failure) Unwrap() error { return f.Err }

// classify names the step that failed. Anything it does not know is ConnectionFailed with the text.
func classify(doing string, err error) *Failure {
	if known, ok := errors.AsType[*Failure](err); ok {
		return known
	}
	reason, cause := failureReason(err), plainCause(err)
	if mend := mends(reason); mend != "" {
		return &Failure{Reason: reason, Err: fmt.Errorf("%s: %w; %s", doing, cause, mend)}
	}
	return &Failure{Reason: reason, Err: fmt.Errorf("%s: %w", doing, cause)}
}

// mends says what to do about a failure whose text alone does not, and names the kubeconfig's field.
func mends(reason string) string {
	switch reason {
	case v1alpha3.ReasonForbidden:
		// The API server's text names the account, the verb and the resource: just what is needed.
		return "grant it in the target, for example with `mirror allow`"
	case v1alpha3.ReasonUnauthorized:
		return "put a valid token or client certificate into users[].user of the kubeconfig"
	case v1alpha3.ReasonCertificateInvalid:
		return "correct certificate-authority-data, tls-server-name or server in clusters[].cluster of the kubeconfig"
	default:
		return ""
	}
}

func failureReason(err error) string {
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		timeout   interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, errUnauthorized), apierrors.IsUnauthorized(err):
		return v1alpha3.ReasonUnauthorized
	case apierrors.IsForbidden(err):
		return v1alpha3.ReasonForbidden
	case errors.As(err, &dns):
		return v1alpha3.ReasonDNSFailure
	case errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &verify),
		strings.Contains(err.Error(), "x509: "), strings.Contains(err.Error(), "tls: "):
		return v1alpha3.ReasonCertificateInvalid
	case errors.Is(err, syscall.ECONNREFUSED):
		return v1alpha3.ReasonConnectionRefused
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout(), strings.Contains(err.Error(), "client connection lost"):
		return v1alpha3.ReasonConnectionTimeout
	default:
		return v1alpha3.ReasonConnectionFailed
	}
}
