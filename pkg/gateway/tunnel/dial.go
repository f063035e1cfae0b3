package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// DialError says why no stream could be opened to an address.
type DialError struct {
	Address string
	// Step is StepConnect or StepTLS.
	Step string
	Err  error

	// turnedDown is that there never was a connection, because somebody said at once that there can be none now.
	turnedDown bool
}

// Steps of DialError.
const (
	StepConnect = "connect"
	StepTLS     = "tls"
)

// Error implements error.
func (e *DialError) Error() string {
	return fmt.Sprintf("connecting to the gateway at %s: %v", e.Address, e.Err)
}

// Unwrap gives the cause.
func (e *DialError) Unwrap() error { return e.Err }

func (p *peer) connectError(err error) *DialError {
	return &DialError{Address: p.key.address.String(), Step: StepConnect, Err: err}
}

// dial connects and shakes hands, offering Linkerd's wire beside ours.
func (p *peer) dial(ctx context.Context, alpn ...string) (*Conn, error) {
	conn, failed := p.connect(ctx, append(slices.Clone(alpn), wire.ALPN))
	p.pool.deps.Dialed(failed)
	if failed != nil {
		return nil, failed
	}
	return conn, nil
}

func (p *peer) connect(ctx context.Context, alpn []string) (*Conn, *DialError) {
	config, err := p.pool.deps.TLS(p.key.identity, alpn...)
	if err != nil {
		return nil, &DialError{Address: p.key.address.String(), Step: StepTLS, Err: err}
	}
	limited, cancel := context.WithTimeout(ctx, p.pool.options.ConnectTimeout)
	defer cancel()
	began := p.pool.deps.Now()
	raw, err := p.pool.deps.Dial(limited, "tcp", p.key.address.String())
	if err != nil {
		failed := p.connectError(p.timedOut(limited, err))
		failed.turnedDown = isNo(err) && p.pool.deps.Now().Sub(began) < atOnce
		return nil, failed
	}
	conn, err := handshake(limited, raw, config, tls.Client, p.pool.deps.Opened())
	if err != nil {
		return nil, &DialError{Address: p.key.address.String(), Step: StepTLS, Err: p.timedOut(limited, err)}
	}
	return conn, nil
}

// atOnce is how soon an answer comes that somebody gave. Of a host that is gone the kernel says the same, EHOSTUNREACH, once it has
// asked for its hardware address for some seconds; whoever waited for that must not wait again.
const atOnce = 500 * time.Millisecond

// isNo says whether an error of connecting is what others answer, and not what this host has no room for.
func isNo(err error) bool {
	return slices.ContainsFunc([]error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EHOSTUNREACH, syscall.ENETUNREACH},
		func(answer error) bool { return errors.Is(err, answer) })
}

// timedOut puts the time limit in words.
func (p *peer) timedOut(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("it took longer than %v: %w", p.pool.options.ConnectTimeout, context.DeadlineExceeded)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return op.Err // the address is told already
	}
	return err
}
