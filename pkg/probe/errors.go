package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Step is the part of a probe that failed (PROBE-6).
type Step string

// Steps of a probe, in the order in which they happen; StepTimeout can interrupt any of the others.
const (
	StepDNS     Step = "dns"
	StepConnect Step = "connect"
	StepTLS     Step = "tls"
	StepHTTP    Step = "http"
	StepTimeout Step = "timeout"
)

// Error says which step failed, and for which address. Its text holds nothing that the other side
// sent, but for a few names of its certificate, which are cleaned and cut; and no ephemeral port, so
// that it stays the same as long as the fault does.
type Error struct {
	Step Step
	// Address is ip:port of the port that was asked, or the name if Step is StepDNS.
	Address string
	Err     error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s: %v", e.Address, e.Step, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// stepOf gives the step that err names.
func stepOf(err error) Step {
	if probeErr, ok := errors.AsType[*Error](err); ok {
		return probeErr.Step
	}
	return StepHTTP
}

// explained is a cause with a text of our own in place of its own.
type explained struct {
	text  string
	cause error
}

func (e explained) Error() string { return e.text }

func (e explained) Unwrap() error { return e.cause }

// plainCause takes off the layers that repeat addresses and name ephemeral ports.
func plainCause(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return explained{text: errno.Error(), cause: err}
	}
	if opErr, ok := errors.AsType[*net.OpError](err); ok && opErr.Err != nil {
		return explained{text: opErr.Err.Error(), cause: err}
	}
	return err
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	netErr, ok := errors.AsType[net.Error](err)
	return ok && netErr.Timeout()
}
