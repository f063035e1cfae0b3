package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// patience ends a request that hangs. It judges nothing: what is slow shows in the figures.
	patience = 20 * time.Second
	// mostFailures ends what does not work at all.
	mostFailures = 100
	// holders is how many connections to keep are opened at a time.
	holders = 32
	// sources is how many loopback addresses connections to keep come from, so that ports suffice.
	sources = 8
)

// Client does what Specs say.
type Client struct {
	mu   sync.Mutex
	held []net.Conn // guarded by mu while Do runs
}

// Serve reads Specs from in and answers each with a Result on out, until in ends.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	var c Client
	defer c.Close()
	specs, results := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var s Spec
		switch err := specs.Decode(&s); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading what to do: %w", err)
		}
		if err := results.Encode(c.Do(ctx, s)); err != nil {
			return fmt.Errorf("telling what came of it: %w", err)
		}
	}
}

// Close ends the connections that are held.
func (c *Client) Close() {
	for _, conn := range c.held {
		_ = conn.Close()
	}
	c.held = nil
}

// Do does one thing. It returns early when ctx ends.
func (c *Client) Do(ctx context.Context, s Spec) Result {
	if err := s.validate(); err != nil {
		return Result{Error: err.Error()}
	}
	r := &run{spec: s}
	defer context.AfterFunc(ctx, func() { r.stopped.Store(true) })()
	var result Result
	var err error
	switch s.Kind {
	case Connect:
		result, err = r.connect(ctx)
	case ConnectAtRate:
		result, err = r.atRate(ctx, func(int) (func() error, func(), error) { return r.request, func() {}, nil })
	case EchoAtRate:
		result, err = r.atRate(ctx, r.echoer)
	case Download, Upload:
		result, err = r.move(ctx)
	case Hold:
		result, err = c.hold(ctx, r)
	}
	result.Failed, result.Failure = r.failures()
	if err = errors.Join(err, context.Cause(ctx)); err != nil {
		result.Error = err.Error()
	}
	return result
}

// hold opens what is missing.
func (c *Client) hold(ctx context.Context, r *run) (Result, error) {
	started := time.Now()
	var workers sync.WaitGroup
	wanted := make(chan int)
	for range holders {
		workers.Go(func() {
			for i := range wanted {
				conn, err := r.holdOne(i)
				if err != nil {
					r.fail(err)
					continue
				}
				c.mu.Lock()
				c.held = append(c.held, conn)
				c.mu.Unlock()
			}
		})
	}
	for i := len(c.held); i < r.spec.Parallel && ctx.Err() == nil && !r.stopped.Load(); i++ {
		wanted <- i
	}
	close(wanted)
	workers.Wait()
	result := Result{Count: int64(len(c.held)), Elapsed: time.Since(started)}
	if len(c.held) < r.spec.Parallel {
		_, failure := r.failures()
		return result, fmt.Errorf("only %d of %d connections are open: %s", len(c.held), r.spec.Parallel, failure)
	}
	return result, nil
}

// holdOne opens a connection that the backend has confirmed.
func (r *run) holdOne(i int) (net.Conn, error) {
	conn, err := r.dial(&net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i%sources))}, modeHold)
	if err != nil {
		return nil, err
	}
	var confirmed [1]byte
	if _, err := io.ReadFull(conn, confirmed[:]); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("waiting for the backend: %w", err)
	}
	return conn, conn.SetDeadline(time.Time{})
}

// Park opens a connection that the backend knows, and that stays until it is closed.
func Park(address string) (io.Closer, error) {
	return (&run{spec: Spec{Address: address}}).holdOne(0)
}
