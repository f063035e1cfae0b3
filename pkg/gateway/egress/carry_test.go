package egress

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"testing"

	"github.com/linkspan/linkspan/pkg/gateway/pipe"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
)

func TestWhatBecameOfAStreamThatReachedTheGateway(t *testing.T) {
	reset := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	alert := &net.OpError{Op: "remote error", Err: errors.New("tls: unknown certificate authority")}
	refused := func(code tunnel.Code) pipe.Result {
		return pipe.Result{At: pipe.Server, Err: fmt.Errorf("reading from the server: %w", &tunnel.RefusedError{Code: code})}
	}
	cases := map[string]struct {
		cut    Reason
		joined pipe.Result
		result stream.Result
		reason string
	}{
		"both directions ended":                  {"", pipe.Result{}, stream.Done, ""},
		"both ended before the cut":              {ReasonWithdrawn, pipe.Result{}, stream.Done, ""},
		"cut":                                    {ReasonWithdrawn, pipe.Result{Err: net.ErrClosed}, stream.Aborted, "withdrawn"},
		"the client hung up":                     {"", pipe.Result{Err: reset, At: pipe.Client}, stream.Aborted, "reset"},
		"the gateway hung up":                    {"", pipe.Result{Err: reset, At: pipe.Server}, stream.Aborted, "reset"},
		"the gateway knows no such export":       {"", refused(tunnel.CodeNotExported), stream.Refused, "not_exported"},
		"the gateway does not let us":            {"", refused(tunnel.CodeDenied), stream.Denied, "client_not_allowed"},
		"the gateway is full":                    {"", refused(tunnel.CodeFull), stream.Refused, "full"},
		"the application cannot be reached":      {"", refused(tunnel.CodeUnreachable), stream.Failed, "unreachable"},
		"the gateway did not like the header":    {"", refused(tunnel.CodeBadHeader), stream.Failed, "malformed"},
		"the export ended":                       {"", refused(tunnel.CodeWithdrawn), stream.Aborted, "withdrawn"},
		"the gateway does not say why":           {"", refused(tunnel.CodeOther), stream.Refused, "other"},
		"the gateway has a word of later years":  {"", refused(99), stream.Refused, "other"},
		"the gateway does not trust us (GW-10)":  {"", pipe.Result{Err: alert, At: pipe.Server}, stream.Failed, "unknown_authority"},
		"an alert in the middle is no handshake": {"", pipe.Result{Err: alert, At: pipe.Server, ToClient: 1}, stream.Aborted, "other"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			result, reason := outcome(c.cut, c.joined)
			if result != c.result || reason != c.reason {
				t.Errorf("%s for %q, want %s for %q", result, reason, c.result, c.reason)
			}
			expectKnown(t, reason)
		})
	}
}

func TestWhatBecameOfAStreamThatDidNotReachTheGateway(t *testing.T) {
	dial := func(step string, err error) error {
		return &tunnel.DialError{Address: "192.0.2.10:4143", Step: step, Err: err}
	}
	cases := map[string]struct {
		ended  bool
		cut    Reason
		err    error
		result stream.Result
		reason string
	}{
		"nobody listens":               {false, "", dial(tunnel.StepConnect, syscall.ECONNREFUSED), stream.Failed, "connection_refused"},
		"nobody answers":               {false, "", dial(tunnel.StepConnect, context.DeadlineExceeded), stream.Failed, "timeout"},
		"no descriptors are left":      {false, "", dial(tunnel.StepConnect, syscall.EMFILE), stream.Failed, "resources"},
		"somebody else answers":        {false, "", dial(tunnel.StepTLS, x509.HostnameError{Certificate: &x509.Certificate{}}), stream.Failed, "wrong_name"},
		"somebody unknown answers":     {false, "", dial(tunnel.StepTLS, x509.UnknownAuthorityError{}), stream.Failed, "unknown_authority"},
		"the mirror went":              {true, ReasonWithdrawn, context.Canceled, stream.Aborted, "withdrawn"},
		"the process ends":             {true, "", dial(tunnel.StepConnect, context.Canceled), stream.Aborted, "stopped"},
		"the pool has ended already":   {false, "", tunnel.ErrClosed, stream.Aborted, "stopped"},
		"something else":               {false, "", errors.New("strange"), stream.Failed, "other"},
		"an address that is not there": {false, "", tunnel.ErrNoAddress, stream.Failed, "other"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.ended {
				cancel()
			}
			result, reason := unopened(ctx, c.cut, c.err)
			if result != c.result || reason != c.reason {
				t.Errorf("%s for %q, want %s for %q", result, reason, c.result, c.reason)
			}
			expectKnown(t, reason)
		})
	}
}

// A reason that package stream does not know would be counted as another.
func TestReasonsAreKnown(t *testing.T) {
	for _, reason := range []Reason{
		ReasonNoLink, ReasonNoRoute, ReasonNoIdentity, ReasonGatewayDead, ReasonGatewayUnknown, ReasonFull, ReasonWithdrawn, ReasonStopped,
	} {
		expectKnown(t, string(reason))
	}
}

func expectKnown(t *testing.T, reason string) {
	t.Helper()
	if reason != "" && !slices.Contains(stream.Reasons(), reason) {
		t.Errorf("%q is no reason that package stream knows", reason)
	}
}
