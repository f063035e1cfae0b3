package tunnel

import (
	"errors"
	"fmt"
	"net"

	"github.com/linkspan/linkspan/pkg/gateway/pipe"
)

// Stream is one stream through a tunnel.
type Stream interface {
	net.Conn
	pipe.Stream
	// Via is the way it takes: ViaTLS, ViaLane or ViaMux.
	Via() string
}

// The ways, as access logs and metrics name them.
const (
	ViaTLS  = "tls"
	ViaLane = "lane"
	ViaMux  = "mux"
)

// ALPN names of our own; see the package comment.
const (
	ALPNLane = "lane.linkspan.io/v1"
)

// Code says why an ingress refused a stream. Codes are part of the wire: they are never renumbered.
type Code uint32

// Codes of refusals.
const (
	CodeOther       Code = 1
	CodeNotExported Code = 2
	CodeDenied      Code = 3
	CodeFull        Code = 4
	CodeUnreachable Code = 5
	CodeBadHeader   Code = 6
	CodeWithdrawn   Code = 7
)

// String is the code's name in access logs and metrics.
func (c Code) String() string {
	switch c {
	case CodeNotExported:
		return "not_exported"
	case CodeDenied:
		return "denied"
	case CodeFull:
		return "full"
	case CodeUnreachable:
		return "unreachable"
	case CodeBadHeader:
		return "bad_header"
	case CodeWithdrawn:
		return "withdrawn"
	default:
		return "other"
	}
}

// RefusedError is a refusal by the ingress at the other end.
type RefusedError struct{ Code Code }

// Error implements error.
func (e *RefusedError) Error() string { return "the gateway refused the stream: " + e.Code.String() }

// errProtocol is a violation of the lane protocol.
var errProtocol = errors.New("the other end does not keep to the lane protocol")

func protocolError(what string, value uint32) error {
	return fmt.Errorf("%w: %s %#x", errProtocol, what, value)
}
