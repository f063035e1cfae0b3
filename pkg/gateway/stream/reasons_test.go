package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"syscall"
	"testing"
)

var word = regexp.MustCompile(`^[a-z][a-z0-9_]{1,30}$`)

func TestReasonsAreWords(t *testing.T) {
	t.Parallel()
	for _, reason := range Reasons() {
		if !word.MatchString(reason) {
			t.Errorf("%q is no word for a metric", reason)
		}
	}
}

// GW-12: what went wrong has a distinct reason, and none that is not known.
func TestDialReason(t *testing.T) {
	t.Parallel()
	dial := func(err error) error {
		return fmt.Errorf("connecting: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)})
	}
	for want, errs := range map[string][]error{
		"":                      {nil},
		ReasonConnectionRefused: {dial(syscall.ECONNREFUSED)},
		ReasonUnreachable:       {dial(syscall.EHOSTUNREACH), dial(syscall.ENETUNREACH)},
		ReasonTimeout:           {dial(syscall.ETIMEDOUT), context.DeadlineExceeded, os.ErrDeadlineExceeded},
		ReasonReset:             {dial(syscall.ECONNRESET), syscall.EPIPE},
		ReasonResources:         {dial(syscall.EMFILE), dial(syscall.EADDRNOTAVAIL)},
		ReasonCanceled:          {fmt.Errorf("x: %w", context.Canceled)},
		"eof":                   {io.EOF, io.ErrUnexpectedEOF},
		ReasonOther:             {errors.New("who knows")},
	} {
		for _, err := range errs {
			if got := DialReason(err); got != want {
				t.Errorf("DialReason(%v) = %q, want %q", err, got, want)
			}
		}
		if want != "" && !slices.Contains(Reasons(), want) {
			t.Errorf("%q is not among Reasons", want)
		}
	}
}
