package wire

import "strconv"

// Reason is a short and stable word for what was wrong with a header or a name. Reasons are few, so
// that they can be the label of a metric.
type Reason string

// Reasons of errors in this package.
const (
	// ReasonRead: the reader failed, for example because a deadline passed.
	ReasonRead Reason = "read"
	// ReasonTruncated: the connection was closed in the middle of a header.
	ReasonTruncated Reason = "truncated"
	// ReasonPreface: what came is not a transport header.
	ReasonPreface Reason = "preface"
	// ReasonTooLong: the message claims to be longer than MaxMessage.
	ReasonTooLong Reason = "too_long"
	// ReasonMalformed: the message is not the protobuf of a header.
	ReasonMalformed Reason = "malformed"
	// ReasonPort: the port is missing, or is none.
	ReasonPort Reason = "port"
	// ReasonName: the name is longer than MaxName, or not UTF-8.
	ReasonName Reason = "name"
	// ReasonProtocol: a header to be written has a protocol that has no encoding.
	ReasonProtocol Reason = "protocol"
	// ReasonTarget: the name is not that of a Service.
	ReasonTarget Reason = "target"
	// ReasonDomain: the name is not in the cluster's domain.
	ReasonDomain Reason = "domain"
)

// Error says what was wrong with a header or with the name of a target. Its text is bounded, and
// quotes what it repeats of the other side's bytes.
type Error struct {
	Reason Reason
	Err    error
}

// Error implements error.
func (e *Error) Error() string { return string(e.Reason) + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// quote makes text of the other side fit for a log: quoted, and cut after 64 bytes.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
