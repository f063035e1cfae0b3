package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// ask makes a request over a new connection and returns why it failed.
func ask(t *testing.T, address string, change func(*http.Transport)) error {
	t.Helper()
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, TLSHandshakeTimeout: 5 * time.Second}
	if change != nil {
		change(transport)
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err == nil {
		_ = resp.Body.Close() // nothing was wanted of it
		t.Fatalf("%s answers %s, want an error", address, resp.Status)
	}
	return err
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // a test may have closed it already
	return l
}

// LESSON-6, LESSON-41: each way in which a target can fail has a reason of its own. The errors are real.
func TestFailureReason(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the clients that this test is about
	secure.StartTLS()
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	silent := listen(t) // takes connections and never answers
	closed := listen(t)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the resolver is out of order")
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, broken }}
	done, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	services := schema.GroupResource{Resource: "services"}

	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"refused": {err: ask(t, "https://"+closed.Addr().String(), nil), want: v1alpha3.ReasonConnectionRefused},
		"a handshake that is never answered": {
			err: ask(t, "https://"+silent.Addr().String(), func(tr *http.Transport) { tr.TLSHandshakeTimeout = 50 * time.Millisecond }), want: v1alpha3.ReasonConnectionTimeout,
		},
		"an answer that never comes": {
			err: ask(t, "http://"+silent.Addr().String(), func(tr *http.Transport) { tr.ResponseHeaderTimeout = 50 * time.Millisecond }), want: v1alpha3.ReasonConnectionTimeout,
		},
		"the attempt's time is over": {err: fmt.Errorf("listing: %w", done.Err()), want: v1alpha3.ReasonConnectionTimeout},
		"a ping without an answer":   {err: errors.New("http2: client connection lost"), want: v1alpha3.ReasonConnectionTimeout},
		"an authority that we do not know": {
			err: ask(t, secure.URL, nil), want: v1alpha3.ReasonCertificateInvalid,
		},
		"a certificate for another name": {
			err: ask(t, secure.URL, func(tr *http.Transport) {
				tr.TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
				tr.TLSClientConfig.ServerName = "elsewhere.example.org"
			}),
			want: v1alpha3.ReasonCertificateInvalid,
		},
		"no certificate at all": {
			err: ask(t, strings.Replace(plain.URL, "http://", "https://", 1), nil), want: v1alpha3.ReasonConnectionFailed,
		},
		"a name that cannot be looked up": {
			err: ask(t, "https://east.example.invalid", func(tr *http.Transport) {
				tr.DialContext = (&net.Dialer{Resolver: resolver}).DialContext
			}),
			want: v1alpha3.ReasonDNSFailure,
		},
		"reset": {err: &url.Error{Op: "Get", Err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}}, want: v1alpha3.ReasonConnectionFailed},
		"a TLS alert": {
			err: &url.Error{Op: "Get", Err: fmt.Errorf("remote error: %w", errors.New("tls: bad certificate"))}, want: v1alpha3.ReasonCertificateInvalid,
		},
		"401":                            {err: apierrors.NewUnauthorized("Unauthorized"), want: v1alpha3.ReasonUnauthorized},
		"401 of a watch":                 {err: fmt.Errorf("watching: %w", errUnauthorized), want: v1alpha3.ReasonUnauthorized},
		"403":                            {err: apierrors.NewForbidden(services, "", errors.New("no")), want: v1alpha3.ReasonForbidden},
		"500":                            {err: apierrors.NewInternalError(errors.New("no")), want: v1alpha3.ReasonConnectionFailed},
		"something that nobody expected": {err: errors.New("?"), want: v1alpha3.ReasonConnectionFailed},
	} {
		if got := failureReason(c.err); got != c.want {
			t.Errorf("%s: %q is %s, want %s", name, c.err, got, c.want)
		}
	}
}

// What the user reads says what was tried, what came of it and, where it is known, what to mend.
func TestClassify(t *testing.T) {
	t.Parallel()
	permanent := &Failure{Reason: v1alpha3.ReasonTargetIsSelf, Permanent: true, Err: errors.New("this very cluster")}
	for name, c := range map[string]struct {
		err    error
		reason string
		says   []string
	}{
		"a failure stays what it is": {err: fmt.Errorf("checking: %w", permanent), reason: v1alpha3.ReasonTargetIsSelf, says: []string{"this very cluster"}},
		"forbidden": {
			err:    apierrors.NewForbidden(schema.GroupResource{Resource: "services"}, "", errors.New("no")),
			reason: v1alpha3.ReasonForbidden, says: []string{"connecting: ", "services is forbidden", "mirror allow"},
		},
		"unauthorized": {err: errUnauthorized, reason: v1alpha3.ReasonUnauthorized, says: []string{"401", "users[].user"}},
		"certificate": {
			err:    &tls.CertificateVerificationError{Err: errors.New("x509: no")},
			reason: v1alpha3.ReasonCertificateInvalid, says: []string{"x509: no", "certificate-authority-data"},
		},
		"anything": {err: errors.New("odd"), reason: v1alpha3.ReasonConnectionFailed, says: []string{"connecting: odd"}},
	} {
		f := classify("connecting", c.err)
		if f.Reason != c.reason {
			t.Errorf("%s: reason is %s, want %s", name, f.Reason, c.reason)
		}
		for _, text := range c.says {
			if !strings.Contains(f.Error(), text) {
				t.Errorf("%s: says %q, want %q in it", name, f, text)
			}
		}
		if !errors.Is(f, f.Err) {
			t.Errorf("%s: does not unwrap", name)
		}
	}
}
