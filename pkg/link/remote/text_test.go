package remote

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

func TestShown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		most int
		want string
	}{
		"as it is":                       {"näme", 10, "näme"},
		"just fits":                      {"name", 4, "name"},
		"is cut":                         {"a long text", 9, "a long…"},
		"is cut between characters":      {"ääääää", 8, "ää…"},
		"lines and control characters":   {"a\nb\x1b[31mc\x00d\u202ee", 40, "a b [31mc d e"},
		"bytes that are no text":         {"a\xff\xfeb", 40, "a\ufffdb"},
		"bytes that grow when corrected": {strings.Repeat("a\xff", 10), 12, "a\ufffda\ufffda…"},
		"nothing":                        {"", 9, ""},
	} {
		if got := shown(c.text, c.most); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// FuzzShown: whatever a target says, what we show is text within bounds.
func FuzzShown(f *testing.F) {
	f.Add("x", 10)
	f.Add(strings.Repeat("ä", 100), 3)
	f.Fuzz(func(t *testing.T, text string, most int) {
		most = 3 + (most&0x7fffffff)%2000
		if got := shown(text, most); !utf8.ValidString(got) || len(got) > most || strings.ContainsAny(got, "\x00\n\r\t\x1b") {
			t.Errorf("%q within %d is shown as %q", text, most, got)
		}
	})
}

// SEC-4: an answer of any size and kind leaves room for what was tried and how to mend it.
func TestClassifyCutsWhatTheTargetSays(t *testing.T) {
	t.Parallel()
	services := schema.GroupResource{Resource: "services"}
	hostile := strings.Repeat("\x1b[2J\xffno\n", 10_000)
	for name, err := range map[string]error{
		"403":  apierrors.NewForbidden(services, "", errors.New(hostile)),
		"401":  apierrors.NewUnauthorized(hostile),
		"odd":  errors.New(hostile),
		"x509": errors.New("x509: " + hostile),
	} {
		f := classify("reading the services of https://east.example:6443", err)
		text := f.Error()
		if len(text) > maxMessage || !utf8.ValidString(text) || strings.ContainsAny(text, "\x1b\n") {
			t.Errorf("%s: a text of %d bytes is shown: %.100q…", name, len(text), text)
		}
		if mend := mends(f.Reason); !strings.HasPrefix(text, "reading the services of ") || !strings.HasSuffix(text, mend) {
			t.Errorf("%s: what was tried or how to mend it is lost: %q", name, text)
		}
		if !errors.Is(f, err) {
			t.Errorf("%s: the cause is lost", name)
		}
	}
}

// What differs from one attempt to the next is not shown, so that a lasting fault is one status write.
func TestPlainCause(t *testing.T) {
	t.Parallel()
	address := func(port int) net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: port} }
	for name, c := range map[string]struct {
		one, other error
		says       []string
		reason     string
	}{
		"reset": {
			one:   &net.OpError{Op: "read", Net: "tcp", Source: address(50001), Addr: address(6443), Err: syscall.ECONNRESET},
			other: &net.OpError{Op: "read", Net: "tcp", Source: address(50002), Addr: address(6443), Err: syscall.ECONNRESET},
			says:  []string{"10.0.0.1:6443", "connection reset"}, reason: v1alpha3.ReasonConnectionFailed,
		},
		"refused": {
			one:   &url.Error{Op: "Get", URL: "https://east", Err: &net.OpError{Op: "dial", Net: "tcp", Addr: address(6443), Err: syscall.ECONNREFUSED}},
			other: &url.Error{Op: "Get", URL: "https://east", Err: &net.OpError{Op: "dial", Net: "tcp", Addr: address(6443), Err: syscall.ECONNREFUSED}},
			says:  []string{"10.0.0.1:6443", "connection refused"}, reason: v1alpha3.ReasonConnectionRefused,
		},
		"the resolver does not answer": {
			one:   &net.DNSError{Name: "east.example", Server: "10.0.0.10:53", Err: "read udp 10.1.2.3:40001->10.0.0.10:53: i/o timeout", IsTimeout: true},
			other: &net.DNSError{Name: "east.example", Server: "10.0.0.10:53", Err: "read udp 10.1.2.3:40002->10.0.0.10:53: i/o timeout", IsTimeout: true},
			says:  []string{"lookup east.example", "i/o timeout"}, reason: v1alpha3.ReasonDNSFailure,
		},
		"a stream is ended": {
			one:   errors.New(`http2: server sent GOAWAY and closed the connection; LastStreamID=7, ErrCode=NO_ERROR, debug=""`),
			other: errors.New(`http2: server sent GOAWAY and closed the connection; LastStreamID=9, ErrCode=NO_ERROR, debug=""`),
			says:  []string{"GOAWAY", "NO_ERROR"}, reason: v1alpha3.ReasonConnectionFailed,
		},
		"a certificate has expired": {
			one:   errors.New("x509: certificate has expired or is not yet valid: current time 2026-03-01T12:00:00Z is after 2025-01-01T00:00:00Z"),
			other: errors.New("x509: certificate has expired or is not yet valid: current time 2026-03-01T12:00:15Z is after 2025-01-01T00:00:00Z"),
			says:  []string{"has expired", "is after 2025-01-01T00:00:00Z"}, reason: v1alpha3.ReasonCertificateInvalid,
		},
	} {
		f, again := classify("connecting", c.one), classify("connecting", fmt.Errorf("%w", c.other))
		if f.Error() != again.Error() {
			t.Errorf("%s: one fault, two texts:\n%s\n%s", name, f, again)
		}
		if f.Reason != c.reason {
			t.Errorf("%s: reason is %s, want %s", name, f.Reason, c.reason)
		}
		for _, text := range c.says {
			if !strings.Contains(f.Error(), text) {
				t.Errorf("%s: says %q, want %q in it", name, f, text)
			}
		}
	}
}

// SEC-4: a status within the bounds of the API, whatever was said to us.
func TestStatusCutsTexts(t *testing.T) {
	t.Parallel()
	hostile := strings.Repeat("\x1bä\xff", 20_000)
	o := healthy()
	o.connection = Report{Failure: because(v1alpha3.ReasonForbidden, hostile)}
	o.gateway.Addresses[0].LastError, o.gateway.Addresses[0].State = hostile, "Dead"
	o.mirrors.Services = []v1alpha3.ServiceStatus{{Conditions: []v1alpha3.ServiceCondition{{Type: "Mirrored", Status: metav1.ConditionFalse, Message: hostile}}}}
	s := status(o, noon)
	texts := map[string]string{
		"lastError": s.LastError, "gateway": s.Gateway[0].LastError, "mirrorServices": s.MirrorServices[0].Conditions[0].Message,
	}
	for _, c := range s.Conditions {
		texts[c.Type] = c.Message
	}
	for where, text := range texts {
		if len(text) > maxMessage || !utf8.ValidString(text) || strings.Contains(text, "\x1b") {
			t.Errorf("%s has %d bytes: %.60q", where, len(text), text)
		}
	}
	if o.gateway.Addresses[0].LastError != hostile {
		t.Error("the input was changed")
	}
}

func TestLegalNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 64)
	for key, want := range map[ServiceKey]bool{
		{"shop", "web"}: true, {"shop", "0web-1"}: true, {"shop", long[:63]}: true,
		{"shop", long}: false, {"shop", "web.east"}: false, {"shop", "Web"}: false, {"shop", "web,x in (y)"}: false,
		{"shop", ""}: false, {"", "web"}: false, {"../shop", "web"}: false, {long, "web"}: false,
	} {
		if key.legal() != want {
			t.Errorf("%q is legal: %v", key, !want)
		}
	}
	for name, want := range map[string]bool{"web-abcde": true, "web.a": true, "": false, "a/b": false, strings.Repeat("a", 253): true, strings.Repeat("a", 254): false} {
		if legalSliceName(name) != want {
			t.Errorf("slice name %q is legal: %v", name, !want)
		}
	}
	for uid, want := range map[string]bool{"0b8d6f6e-3c1d-4a55-9b0e-2f3f0a9d6f10": true, "UID-East": true, "": false, "a b": false, "a\n": false, strings.Repeat("a", 65): false} {
		if legalUID(uid) != want {
			t.Errorf("uid %q is legal: %v", uid, !want)
		}
	}
}
