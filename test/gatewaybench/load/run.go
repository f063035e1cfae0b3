package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// run is one Spec that is being done.
type run struct {
	spec Spec
	// count is what was done so far.
	count atomic.Int64
	// stopped tells workers to end.
	stopped atomic.Bool

	mu     sync.Mutex
	failed int
	first  error
}

func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed++; r.failed == 1 {
		r.first = err
	}
	if r.failed >= mostFailures {
		r.stopped.Store(true)
	}
}

func (r *run) failures() (int, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == nil {
		return 0, ""
	}
	return r.failed, r.first.Error()
}

// dial connects, and says what is wanted. A nil address leaves the source to the kernel.
func (r *run) dial(from *net.TCPAddr, mode byte) (*net.TCPConn, error) {
	address, err := net.ResolveTCPAddr("tcp", r.spec.Address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", r.spec.Address, err)
	}
	conn, err := net.DialTCP("tcp", from, address)
	if err != nil {
		return nil, err
	}
	request := [requestSize]byte{mode}
	err = conn.SetDeadline(time.Now().Add(patience))
	if err == nil {
		_, err = conn.Write(request[:])
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("sending a request: %w", err)
	}
	return conn, nil
}

// request is one small request on a connection of its own.
func (r *run) request() error {
	conn, err := r.dial(nil, modeAnswer)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	var answer [answerSize + 1]byte
	switch n, err := io.ReadFull(conn, answer[:]); {
	case errors.Is(err, io.ErrUnexpectedEOF) && n == answerSize:
		return nil // the answer, and the end behind it
	case err == nil:
		return fmt.Errorf("the answer is longer than %d bytes", answerSize)
	default:
		return fmt.Errorf("the answer ended after %d of %d bytes: %w", n, answerSize, err)
	}
}

// mark is what the counters said at one moment.
type mark struct {
	at    time.Time
	count int64
	cpu   []time.Duration
}

func (r *run) mark() (mark, error) {
	var m mark
	for _, pid := range r.spec.PIDs {
		used, err := ReadUsage(pid)
		if err != nil {
			return m, err
		}
		m.cpu = append(m.cpu, used.CPU)
	}
	m.at, m.count = time.Now(), r.count.Load()
	return m, nil
}

func (r *run) since(from mark) (Result, error) {
	to, err := r.mark()
	if err != nil {
		return Result{}, err
	}
	result := Result{Count: to.count - from.count, Elapsed: to.at.Sub(from.at)}
	for i := range to.cpu {
		result.CPU = append(result.CPU, to.cpu[i]-from.cpu[i])
	}
	return result, nil
}

// meter reads the counters at both ends of the window.
func (r *run) meter(ctx context.Context) (Result, error) {
	if err := wait(ctx, r.spec.Warm); err != nil {
		return Result{}, err
	}
	from, err := r.mark()
	if err != nil {
		return Result{}, err
	}
	if err := wait(ctx, r.spec.Window); err != nil {
		return Result{}, err
	}
	return r.since(from)
}

// connect makes connections as fast as it can.
func (r *run) connect(ctx context.Context) (Result, error) {
	from, err := r.mark()
	if err != nil {
		return Result{}, err
	}
	var taken atomic.Int64
	var workers sync.WaitGroup
	for range r.spec.Parallel {
		workers.Go(func() {
			for !r.stopped.Load() && (r.spec.Total == 0 || taken.Add(1) <= int64(r.spec.Total)) {
				if err := r.request(); err != nil {
					r.fail(err)
					continue
				}
				r.count.Add(1)
			}
		})
	}
	if r.spec.Total > 0 {
		workers.Wait()
		return r.since(from)
	}
	result, err := r.meter(ctx)
	r.stopped.Store(true)
	workers.Wait()
	return result, err
}

// move moves bytes, without end until the window is over.
func (r *run) move(ctx context.Context) (Result, error) {
	mode, block := byte(modeStream), (*net.TCPConn).Read
	if r.spec.Kind == Upload {
		mode, block = modeTake, (*net.TCPConn).Write
	}
	conns := make([]*net.TCPConn, 0, r.spec.Parallel)
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	for range r.spec.Parallel {
		conn, err := r.dial(nil, mode)
		if err != nil {
			return Result{}, err
		}
		conns = append(conns, conn)
		if err := conn.SetDeadline(time.Now().Add(r.spec.Warm + r.spec.Window + patience)); err != nil {
			return Result{}, err
		}
	}
	var workers sync.WaitGroup
	for _, conn := range conns {
		workers.Go(func() {
			buffer := make([]byte, blockSize)
			for !r.stopped.Load() {
				n, err := block(conn, buffer)
				r.count.Add(int64(n))
				if err != nil {
					r.fail(err)
					return
				}
			}
		})
	}
	result, err := r.meter(ctx)
	r.stopped.Store(true)
	workers.Wait()
	return result, err
}

// atRate sends requests when they are due. prepare makes what a worker does for each, and how it cleans up.
func (r *run) atRate(ctx context.Context, prepare func(worker int) (do func() error, end func(), err error)) (Result, error) {
	interval := time.Duration(float64(time.Second) / r.spec.Rate)
	// There is room for all, so that whoever is late does not keep requests from being due.
	due := make(chan time.Time, int((r.spec.Warm+r.spec.Window)/interval)+1)
	took := make([][]time.Duration, r.spec.Parallel)
	from := time.Now().Add(r.spec.Warm)
	var workers sync.WaitGroup
	end := sync.OnceFunc(func() {
		close(due)
		workers.Wait()
	})
	defer end()
	for i := range r.spec.Parallel {
		do, cleanUp, err := prepare(i)
		if err != nil {
			return Result{}, err
		}
		workers.Go(func() {
			defer cleanUp()
			for at := range due {
				took[i] = r.timed(took[i], at, from, do)
			}
		})
	}
	ended := make(chan struct{})
	var dispatch sync.WaitGroup
	dispatch.Go(func() { r.dispatch(due, interval, ended) })
	result, err := r.meter(ctx)
	close(ended)
	dispatch.Wait()
	end()
	result.Took = slices.Concat(took...)
	return result, err
}

// timed does one request, and appends the time that it took since it was due.
func (r *run) timed(took []time.Duration, due, from time.Time, do func() error) []time.Duration {
	if r.stopped.Load() {
		return took
	}
	if err := do(); err != nil {
		r.fail(err)
		return took
	}
	r.count.Add(1)
	if due.Before(from) {
		return took
	}
	return append(took, time.Since(due))
}

// dispatch hands out requests. A timer may be a millisecond late, which is not the gateway's doing, so a
// request is due when it is handed out, and not when it should have been.
func (r *run) dispatch(due chan<- time.Time, interval time.Duration, ended <-chan struct{}) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	started, sent := time.Now(), 0
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		now := time.Now()
		for ; sent < int(now.Sub(started)/interval); sent++ {
			select {
			case due <- now:
			default: // there is room unless the window is over
			}
		}
	}
}

// echoer sends a message on a connection of its worker's and waits until it is back.
func (r *run) echoer(int) (do func() error, end func(), err error) {
	conn, err := r.dial(nil, modeEcho)
	if err != nil {
		return nil, nil, err
	}
	var message [answerSize]byte
	do = func() error {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := conn.Write(message[:]); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, message[:])
		return err
	}
	return do, func() { _ = conn.Close() }, nil
}

// wait is for what is measured over a time, and not a way of waiting for something to happen.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
