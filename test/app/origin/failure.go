package origin

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// Kinds of failures.
const (
	Timeout     = "timeout"
	Refused     = "refused"
	Reset       = "reset"
	Ended       = "ended" // the connection ended cleanly where an answer should have come
	Unreachable = "unreachable"
	Name        = "name" // the name could not be resolved
	Other       = "other"
)

// Failure is the kind of an error, nothing for nil.
func Failure(err error) string {
	if err == nil {
		return ""
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return Name
	}
	if late, ok := errors.AsType[net.Error](err); errors.Is(err, context.DeadlineExceeded) || ok && late.Timeout() {
		return Timeout
	}
	for _, known := range []struct {
		is   error
		kind string
	}{
		{syscall.ECONNREFUSED, Refused},
		{syscall.ECONNRESET, Reset},
		{syscall.ECONNABORTED, Reset},
		{syscall.EPIPE, Reset},
		{net.ErrClosed, Reset},
		{syscall.EHOSTUNREACH, Unreachable},
		{syscall.ENETUNREACH, Unreachable},
		{io.EOF, Ended},
		{io.ErrUnexpectedEOF, Ended},
	} {
		if errors.Is(err, known.is) {
			return known.kind
		}
	}
	// net/http has no value for it.
	if strings.Contains(err.Error(), "server closed idle connection") {
		return Ended
	}
	return Other
}
