package translate

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Status codes of gRPC that the gateway gives by itself.
const (
	grpcCanceled          = 1
	grpcResourceExhausted = 8
	grpcAborted           = 10
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
)

const grpcContentType = "application/grpc"

// isGRPC tells gRPC from its relatives (application/grpc-web), which are ordinary HTTP.
func isGRPC(header http.Header) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(header.Get("Content-Type")), grpcContentType)
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// grpcStatus is the pair of fields that ends a gRPC answer. The text must be printable ASCII.
func grpcStatus(code int, text string) http.Header {
	return http.Header{
		"Grpc-Status": {strconv.Itoa(code)},
		// Percent is the one printable character that the protocol wants to be escaped.
		"Grpc-Message": {strings.ReplaceAll(text, "%", "%25")},
	}
}

// streamError has the fields of net/http's error for the reset of an HTTP/2 stream, which matches any
// struct that has them.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error implements error.
func (e streamError) Error() string { return fmt.Sprintf("stream %d: error %d", e.StreamID, e.Code) }

// grpcBreak says what a broken answer means, as a gRPC client would have understood the application's
// own reset of the stream (gRPC over HTTP/2, "HTTP2 Transport Mapping").
func grpcBreak(err error) (code int, text string) {
	const (
		resetRefused  = 0x7
		resetCancel   = 0x8
		resetCalmDown = 0xb
	)
	reset, ok := errors.AsType[streamError](err)
	if !ok {
		return grpcUnavailable, "the gateway lost the connection to the service"
	}
	text = fmt.Sprintf("the service reset the stream with HTTP/2 error code %d", reset.Code)
	switch reset.Code {
	case resetRefused:
		return grpcUnavailable, text
	case resetCancel:
		return grpcCanceled, text
	case resetCalmDown:
		return grpcResourceExhausted, text
	default:
		return grpcInternal, text
	}
}
