package translate

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// fault is an answer of the gateway's own.
type fault struct {
	status int
	grpc   int
	text   string
	// bare leaves out the body, which would have to wait for the client.
	bare bool
}

// noRoom is as near as Go's server lets a handler come to resetting the stream with REFUSED_STREAM: clients of
// gRPC and HTTP know both answers as "not processed, try again or elsewhere".
var noRoom = &fault{
	status: http.StatusServiceUnavailable, grpc: grpcUnavailable, bare: true,
	text: "the gateway has no room for the request, none of which has reached the service: try again, or elsewhere",
}

func badRequest(text string) *fault {
	return &fault{status: http.StatusBadRequest, grpc: grpcInternal, text: "the gateway refused the request: " + text}
}

func badGateway(text string) *fault {
	return &fault{status: http.StatusBadGateway, grpc: grpcUnavailable, text: text}
}

// write answers as Linkerd's proxies do: with the text in a header field, and for gRPC with a status in
// the form that needs no body ("trailers-only").
func (f *fault) write(w answerWriter, grpc bool) {
	header := w.Header()
	header.Set(headerProxyError, f.text)
	if grpc {
		header.Set("Content-Type", grpcContentType)
		maps.Copy(header, grpcStatus(f.grpc, f.text))
		w.WriteHeader(http.StatusOK)
		return
	}
	if f.bare {
		header.Set("Content-Length", "0")
		w.WriteHeader(f.status)
		return
	}
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(f.text)+1))
	w.WriteHeader(f.status)
	// The client may be gone, or have asked for the head only.
	_, _ = io.WriteString(w, f.text+"\n")
	_ = http.NewResponseController(w).Flush() // here, and not by the server, so that a client that takes nothing is noticed
}

// unanswerable is why what an application answered cannot be passed on.
type unanswerable string

// Error implements error.
func (u unanswerable) Error() string { return string(u) }

const errSwitched = unanswerable("the service wants to switch protocols, which the gateway does not do inside HTTP/2")

// faultOf says what to answer when the application did not. Addresses of the application are left out:
// they are of no use in another cluster, and none of its business.
func faultOf(err error, connectTimeout time.Duration) *fault {
	if dial, ok := errors.AsType[*dialError](err); ok {
		return connectFault(dial, connectTimeout)
	}
	if text, ok := errors.AsType[unanswerable](err); ok {
		return badGateway(string(text))
	}
	netErr, isNet := errors.AsType[net.Error](err)
	switch {
	case isNet && netErr.Timeout():
		return timedOut("the service took too long to answer the gateway")
	case isBroken(err):
		return badGateway("the connection to the service ended without an answer that can be passed on")
	default:
		return badGateway("the gateway could not get an answer from the service: " + plain(err))
	}
}

func connectFault(dial *dialError, limit time.Duration) *fault {
	const unreachable = "the gateway could not reach the service: "
	netErr, isNet := errors.AsType[net.Error](dial.cause)
	switch {
	case dial.late, isNet && netErr.Timeout():
		return timedOut(unreachable + fmt.Sprintf("connecting took longer than %v", limit))
	case errors.Is(dial.cause, syscall.ECONNREFUSED):
		f := badGateway(unreachable + "connection refused")
		f.status = http.StatusServiceUnavailable
		return f
	default:
		return badGateway(unreachable + plain(dial.cause))
	}
}

func timedOut(text string) *fault {
	// For gRPC it is UNAVAILABLE all the same: DEADLINE_EXCEEDED would say that the client's time is over.
	return &fault{status: http.StatusGatewayTimeout, grpc: grpcUnavailable, text: text}
}

func isBroken(err error) bool {
	for _, cause := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// plain is the text of an error without addresses, fit for a header field.
func plain(err error) string {
	const enough = 200
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		err = errno
	} else if opErr, ok := errors.AsType[*net.OpError](err); ok && opErr.Err != nil {
		err = opErr.Err
	}
	text := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, err.Error())
	return text[:min(len(text), enough)]
}
