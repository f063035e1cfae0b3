package origin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/linkspan/linkspan/test/app/origin"
)

func TestKindsOfFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"none":                         {nil, ""},
		"nobody listens":               {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, origin.Refused},
		"cut":                          {fmt.Errorf("reading: %w", syscall.ECONNRESET), origin.Reset},
		"cut while writing":            {syscall.EPIPE, origin.Reset},
		"no answer in time":            {fmt.Errorf("asking: %w", context.DeadlineExceeded), origin.Timeout},
		"no packet in time":            {&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, origin.Timeout},
		"a name that is none":          {&net.OpError{Op: "dial", Err: &net.DNSError{Name: "x", IsNotFound: true}}, origin.Name},
		"a name server that is silent": {&net.DNSError{Name: "x", IsTimeout: true}, origin.Name},
		"an end in place of an answer": {io.EOF, origin.Ended},
		"an answer that breaks off":    {io.ErrUnexpectedEOF, origin.Ended},
		"a kept connection that ended": {errors.New("http: server closed idle connection"), origin.Ended},
		"no way there":                 {os.NewSyscallError("connect", syscall.EHOSTUNREACH), origin.Unreachable},
		"anything else":                {errors.New("what is that"), origin.Other},
	} {
		if got := origin.Failure(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestWhoCountedTheVoteComesBeforeWhoHandedItOn(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	origin.Identity{Cluster: "west", Pod: "web-1"}.Sign(h)
	if got := (origin.Identity{Cluster: "west", Pod: "web-1"}); origin.Of(h) != got {
		t.Errorf("answered by %v, want %v", origin.Of(h), got)
	}
	h.Set(origin.VotingCluster, "east")
	h.Set(origin.VotingPod, "voting-1")
	if want := (origin.Identity{Cluster: "east", Pod: "voting-1"}); origin.Of(h) != want {
		t.Errorf("answered by %v, want %v", origin.Of(h), want)
	}
}

func TestAnIdentityNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	for want, i := range map[string]origin.Identity{"--cluster": {Pod: "p"}, "--pod": {Cluster: "c"}} {
		if err := i.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error of %+v is %v, want one that names %s", i, err, want)
		}
	}
}
