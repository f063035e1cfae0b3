package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// An answer may be this long. What comes after it is not read.
const (
	maxHeaderBytes = 64 << 10
	maxBodyBytes   = 64 << 10
)

// Dialer opens a connection. It must return soon after its context has ended.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Target is what one probe asks, and of whom.
type Target struct {
	IP      netip.Addr
	Port    uint16
	Path    string
	Timeout time.Duration
}

func (t Target) address() string { return netip.AddrPortFrom(t.IP, t.Port).String() }

// Check probes target once and says how long the answer took. A status from 200 to 299 is success.
// Each probe has a connection of its own, or it would not see that new connections fail (CERT-16).
// Redirects are not followed and no proxy is asked. A failure is an *Error, except that the end of
// ctx itself says nothing about the target and comes back as ctx's own error.
//
// It speaks HTTP/1.1 by itself, because http.Transport goes on dialing after its request has ended:
// a gateway that drops packets would leave a connection attempt behind for each probe (LESSON-60).
func Check(ctx context.Context, dial Dialer, target Target) (time.Duration, error) {
	found, err := check(ctx, dial, target, nil)
	return found.latency, err
}

// outcome is what a probe found.
type outcome struct {
	// latency is how long the HTTP answer took, whether or not a handshake follows: the metrics that it
	// goes to are Linkerd's, and keep their meaning.
	latency time.Duration
	// expiry is zero if no certificate was seen, and may be there beside an error.
	expiry expiry
	// unready is why no handshake could be tried, for a reason of ours, whatever else was found.
	unready error
}

// check is Check, followed by a handshake unless that is nil. Both share the target's timeout.
func check(ctx context.Context, dial Dialer, target Target, next *handshake) (outcome, error) {
	started := time.Now()
	limited, cancel := context.WithTimeout(ctx, target.Timeout)
	defer cancel()

	if failed := exchange(limited, dial, target); failed != nil {
		return outcome{}, failed.explain(ctx, limited, target.address(), target.Timeout)
	}
	found := outcome{latency: time.Since(started)}
	if next == nil {
		return found, nil
	}
	var failed *failure
	if found.expiry, failed = next.shake(limited, dial); failed != nil {
		return found, failed.explain(ctx, limited, next.address.String(), target.Timeout)
	}
	return found, nil
}

// failure is where an exchange stopped.
type failure struct {
	step  Step
	doing string
	cause error
	// answered is true if the other side said no itself, however long it took over the rest. The cause
	// is then the whole explanation.
	answered bool
}

// explain makes the error of a probe. limited is ctx with the probe's timeout.
func (f *failure) explain(ctx, limited context.Context, address string, timeout time.Duration) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("probing %s: %w", address, ctx.Err())
	case f.answered:
		return &Error{Step: f.step, Address: address, Err: f.cause}
	case limited.Err() != nil || isTimeout(f.cause):
		return &Error{Step: StepTimeout, Address: address, Err: explained{
			text:  fmt.Sprintf("%s did not succeed within %v", f.doing, timeout),
			cause: f.cause,
		}}
	default:
		return &Error{Step: f.step, Address: address, Err: plainCause(f.cause)}
	}
}

func httpFailure(doing string, cause error) *failure {
	return &failure{step: StepHTTP, doing: doing, cause: cause}
}

// exchange connects, sends the request and judges the answer. All of it ends with ctx.
func exchange(ctx context.Context, dial Dialer, target Target) *failure {
	request, err := newRequest(ctx, target)
	if err != nil {
		return httpFailure("making the request", err)
	}
	conn, err := dial(ctx, "tcp", target.address())
	if err != nil {
		return &failure{step: StepConnect, doing: "connecting", cause: err}
	}
	defer closeConn(conn)
	// Closing is what ends a read or write that hangs.
	defer context.AfterFunc(ctx, func() { closeConn(conn) })()

	if err := request.Write(conn); err != nil {
		return httpFailure("sending the request", err)
	}
	return judge(conn, request)
}

// closeConn ends a connection that has nothing more to say, so an error of Close tells nothing.
func closeConn(conn net.Conn) { _ = conn.Close() }

func newRequest(ctx context.Context, target Target) (*http.Request, error) {
	asked, err := url.ParseRequestURI(target.Path)
	if err != nil {
		return nil, explained{text: "the probe path is not a valid path", cause: err}
	}
	asked.Scheme, asked.Host = "http", target.address()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, asked.String(), nil)
	if err != nil {
		return nil, explained{text: "the probe path cannot be requested", cause: err}
	}
	request.Header.Set("User-Agent", "linkspan-probe")
	request.Close = true
	return request, nil
}

// judge reads the answer: all of its headers, and of its body as much as is allowed, so that the
// other side sees an orderly end and not a reset.
func judge(conn io.Reader, request *http.Request) *failure {
	allowance := &io.LimitedReader{R: conn, N: maxHeaderBytes}
	reader := bufio.NewReader(allowance)

	answer, err := readAnswer(reader, request)
	if err != nil {
		return unreadable(err, reader, allowance)
	}
	allowance.N = maxBodyBytes
	_, err = io.Copy(io.Discard, answer.Body)
	// Close reads on to the end of the body, which here is the end of the allowance at the latest.
	if closeErr := answer.Body.Close(); err == nil {
		err = closeErr
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		status := fmt.Errorf("status %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
		return &failure{step: StepHTTP, cause: status, answered: true}
	}
	if err != nil && allowance.N > 0 {
		return httpFailure("reading the answer", explained{text: "the answer broke off", cause: err})
	}
	return nil
}

// readAnswer reads to the end of the headers of the final answer.
func readAnswer(reader *bufio.Reader, request *http.Request) (*http.Response, error) {
	first, err := reader.Peek(2)
	if err != nil {
		return nil, err
	}
	// A TLS record: an alert or a handshake, of any version since SSL 3.
	if (first[0] == 0x15 || first[0] == 0x16) && first[1] == 0x03 {
		return nil, errSpeaksTLS
	}
	for {
		answer, err := http.ReadResponse(reader, request)
		if err != nil {
			return nil, err
		}
		interim := answer.StatusCode >= 100 && answer.StatusCode < 200
		if !interim || answer.StatusCode == http.StatusSwitchingProtocols {
			return answer, nil
		}
		if err := answer.Body.Close(); err != nil {
			return nil, err
		}
	}
}

var errSpeaksTLS = errors.New("the port speaks TLS, but probes are plain HTTP: set the Link's probe port to the gateway's probe port")

// unreadable says why there was no answer to judge.
func unreadable(err error, reader *bufio.Reader, allowance *io.LimitedReader) *failure {
	const doing = "waiting for the answer"
	opErr, fromConn := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, errSpeaksTLS):
		return &failure{step: StepTLS, doing: doing, cause: errSpeaksTLS}
	case fromConn:
		return httpFailure(doing, opErr)
	case isTimeout(err):
		return httpFailure(doing, err)
	case allowance.N <= 0 && reader.Buffered() == 0:
		return httpFailure(doing, explained{text: fmt.Sprintf("the headers are longer than %d bytes", maxHeaderBytes), cause: err})
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return httpFailure(doing, explained{text: "the connection was closed before the answer was complete", cause: err})
	default:
		return httpFailure(doing, explained{text: "the answer is not HTTP", cause: err})
	}
}
