package stream

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
)

// Reasons of the gateway itself. Other packages have words of their own, which Reasons lists as well.
const (
	// ReasonOther stands for every reason that is not listed.
	ReasonOther = "other"

	// ReasonClientNotAllowed: the gateway's allow-list does not have the client.
	ReasonClientNotAllowed = "client_not_allowed"
	// ReasonExportNotAllowed: the Service's own allow-list does not have the client.
	ReasonExportNotAllowed = "export_not_allowed"

	// ReasonFull: the limit of connections or streams is reached.
	ReasonFull = "full"
	// ReasonClientFull: the limit of one client is reached.
	ReasonClientFull = "client_full"
	// ReasonDraining: the gateway is about to end.
	ReasonDraining = "draining"
	// ReasonWithdrawn: the Service is exported or mirrored no more, or the client no longer allowed.
	ReasonWithdrawn = "withdrawn"
	// ReasonUntrusted: the peer's certificate no longer leads to an anchor in force.
	ReasonUntrusted = "untrusted"
	// ReasonStopped: the gateway ended while the stream was open.
	ReasonStopped = "stopped"

	// ReasonReset: one end reset the connection.
	ReasonReset = "reset"
	// ReasonTimeout: a deadline passed.
	ReasonTimeout = "timeout"
	// ReasonConnectionRefused: nobody listens there.
	ReasonConnectionRefused = "connection_refused"
	// ReasonUnreachable: there is no route to the host or network.
	ReasonUnreachable = "unreachable"
	// ReasonResources: this host is out of file descriptors, ports or memory.
	ReasonResources = "resources"
	// ReasonCanceled: whoever asked for it went away.
	ReasonCanceled = "canceled"
)

// Reasons gives every word that may be a reason, sorted. A test holds it against the constants of
// the packages that the words come from; a word that is missing here counts as ReasonOther.
func Reasons() []string {
	all := []string{
		ReasonOther,
		ReasonClientNotAllowed, ReasonExportNotAllowed,
		ReasonFull, ReasonClientFull, ReasonDraining, ReasonWithdrawn, ReasonUntrusted, ReasonStopped,
		ReasonReset, ReasonTimeout, ReasonConnectionRefused, ReasonUnreachable, ReasonResources, ReasonCanceled,
		// pkg/gateway/wire
		"read", "truncated", "preface", "too_long", "malformed", "port", "name", "protocol", "target", "domain",
		// pkg/gateway/exports
		"not_synced", "not_exported", "no_such_port", "unsupported", "no_endpoints",
		// pkg/gateway/egress
		"gateway_dead", "gateway_unknown", "no_link", "no_identity", "no_route",
		// pkg/gateway/tunnel: refusals by the ingress at the other end
		"denied", "bad_header",
		// pkg/gateway/certs
		"eof", "not_tls", "no_certificate", "unknown_authority", "expired", "not_yet_valid", "wrong_name", "not_permitted", "no_alpn", "protocol_version",
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// DialReason puts the error of a TCP connection that was not made, or did not last, into one of a few
// classes, all of which are Reasons. Of nil it is empty.
func DialReason(err error) string {
	if err == nil {
		return ""
	}
	for _, known := range []struct {
		err    error
		reason string
	}{
		{context.Canceled, ReasonCanceled},
		{context.DeadlineExceeded, ReasonTimeout},
		{syscall.ECONNREFUSED, ReasonConnectionRefused},
		{syscall.EHOSTUNREACH, ReasonUnreachable},
		{syscall.ENETUNREACH, ReasonUnreachable},
		{syscall.ECONNRESET, ReasonReset},
		{syscall.EPIPE, ReasonReset},
		{syscall.EMFILE, ReasonResources},
		{syscall.ENFILE, ReasonResources},
		{syscall.EADDRNOTAVAIL, ReasonResources},
		{syscall.ENOBUFS, ReasonResources},
		{syscall.ENOMEM, ReasonResources},
		{io.EOF, "eof"},
		{io.ErrUnexpectedEOF, "eof"},
	} {
		if errors.Is(err, known.err) {
			return known.reason
		}
	}
	if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
		return ReasonTimeout
	}
	return ReasonOther
}
