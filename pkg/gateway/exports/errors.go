package exports

import (
	"errors"
	"fmt"

	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// Reason says in one word, for metrics and logs, why a target cannot be reached. The words never change.
type Reason string

// Reasons of Resolve.
const (
	// ReasonNotSynced: what is exported has not been read yet, since the process started.
	ReasonNotSynced Reason = "not_synced"
	// ReasonNotExported: there is no such Service, or it is not exported, or it may not be.
	ReasonNotExported Reason = "not_exported"
	// ReasonNoSuchPort: the Service is exported and has no port of this number.
	ReasonNoSuchPort Reason = "no_such_port"
	// ReasonProtocol: the port is not TCP.
	ReasonProtocol Reason = "protocol"
	// ReasonUnsupported: nothing can be dialed for a Service, or target, of this kind.
	ReasonUnsupported Reason = "unsupported"
	// ReasonNoEndpoints: a headless Service has no ready endpoint, or none of the hostname.
	ReasonNoEndpoints Reason = "no_endpoints"
)

// Error says why a target cannot be reached.
type Error struct {
	Reason Reason
	// Target and Port are what was asked for.
	Target wire.Target
	Port   uint16

	text string
}

// Error implements error. The text is for the logs of the cluster that exports, not for clients.
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.Target, e.Port, e.text) }

// ReasonOf is the reason of an error of this package, and empty for any other.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}
