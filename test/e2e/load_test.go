package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// loadWorkers are requests at a time. Each worker begins one each loadPace, if the one before has ended: more
	// would take the processors from the other scenarios.
	loadWorkers = 8
	loadPace    = 40 * time.Millisecond
	// shownFailures is how many failures are told.
	shownFailures = 10
)

// load sends requests until it is stopped.
type load struct {
	stopping chan struct{}
	once     sync.Once
	workers  sync.WaitGroup
	began    time.Time

	mu       sync.Mutex
	done     int
	failed   int // of which cut were by a reset
	cut      int
	failures []string
	times    []time.Duration
}

// startLoad has a request sent again and again. It stops with the test.
func startLoad(t *testing.T, request func(path string) error) *load {
	t.Helper()
	l := &load{stopping: make(chan struct{}), began: time.Now()}
	t.Cleanup(l.stop)
	for i := range loadWorkers {
		l.workers.Go(func() { l.work(i, request) })
	}
	return l
}

func (l *load) work(worker int, request func(path string) error) {
	tick := time.NewTicker(loadPace)
	defer tick.Stop()
	for n := 0; ; n++ {
		began := time.Now()
		err := request(fmt.Sprintf("/%d/%d", worker, n))
		l.note(began, err)
		select {
		case <-l.stopping:
			return
		case <-tick.C:
		}
	}
}

func (l *load) note(began time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done++
	l.times = append(l.times, time.Since(began))
	if err != nil {
		l.failed++
		if aborted(err) {
			l.cut++
		}
		l.failures = append(l.failures, fmt.Sprintf("after %v, for %v: %v", began.Sub(l.began), time.Since(began), err))
	}
}

func (l *load) requests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done
}

// await waits until so many more requests have ended, so that what follows from a change can be seen.
func (l *load) await(t *testing.T, more int) {
	t.Helper()
	want := l.requests() + more
	expectSoon(t, func() error {
		if got := l.requests(); got < want {
			return fmt.Errorf("%d requests have ended, want %d", got, want)
		}
		return nil
	})
}

func (l *load) stop() {
	l.once.Do(func() { close(l.stopping) })
	l.workers.Wait()
}

// expectNoFailure ends the load and wants every request to have had its answer.
func (l *load) expectNoFailure(t *testing.T) {
	t.Helper()
	l.stop()
	if l.failed > 0 {
		t.Errorf("%d of %d requests failed, want none; the first:", l.failed, l.done)
		for _, failure := range l.failures[:min(len(l.failures), shownFailures)] {
			t.Log(failure)
		}
	}
	t.Logf("measured: %d requests, %d failed, half took %v at most, the slowest %v", l.done, l.failed, l.median(), l.slowest())
}

func (l *load) slowest() time.Duration { return slices.Max(l.times).Round(time.Millisecond) }

func (l *load) median() time.Duration {
	sorted := slices.Sorted(slices.Values(l.times))
	return sorted[len(sorted)/2].Round(100 * time.Microsecond)
}

// slowestSoFar is for a load that goes on.
func (l *load) slowestSoFar() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.slowest()
}

func (l *load) slowerThan(limit time.Duration) (n int) {
	for _, took := range l.times {
		if took > limit {
			n++
		}
	}
	return n
}

const (
	// beatPace is between two lines of a long stream, beatsWatched how many must come through to prove it alive.
	beatPace     = 25 * time.Millisecond
	beatsWatched = 4
)

// beating is a long stream that proves all the time that it works: each line comes back before the next one is sent.
type beating struct {
	name string
	conn *net.TCPConn
	// local is its client's address, by which access logs know it.
	local    string
	beats    atomic.Int64
	stopping chan struct{}
	once     sync.Once
	ended    chan struct{}
	// err is valid once ended is closed, and at when that was.
	err error
	at  time.Time
}

// startBeating begins a long stream. It ends with the test.
func startBeating(t *testing.T, address, name string) *beating {
	t.Helper()
	b := &beating{name: name, conn: begin(t, address, verbEcho, name), stopping: make(chan struct{}), ended: make(chan struct{})}
	b.local = b.conn.LocalAddr().String()
	go b.run()
	t.Cleanup(func() {
		_ = b.conn.Close()
		<-b.ended
	})
	b.expectAlive(t)
	return b
}

func (b *beating) run() {
	defer close(b.ended)
	b.err = b.beat()
	b.at = time.Now()
}

func (b *beating) beat() error {
	tick := time.NewTicker(beatPace)
	defer tick.Stop()
	from := bufio.NewReader(b.conn)
	for n := 0; ; n++ {
		if err := b.conn.SetDeadline(time.Now().Add(talkPatience)); err != nil {
			return err
		}
		want := strconv.Itoa(n) + "\n"
		if _, err := io.WriteString(b.conn, want); err != nil {
			return err
		}
		got, err := from.ReadString('\n')
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("line %d came back as %q", n, got)
		}
		b.beats.Add(1)
		select {
		case <-b.stopping:
			return b.finishing(from)
		case <-tick.C:
		}
	}
}

// finishing ends the client's direction and wants the application to end its own.
func (b *beating) finishing(from io.Reader) error {
	if err := b.conn.CloseWrite(); err != nil {
		return err
	}
	rest, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes came after the last line", len(rest))
	}
	return nil
}

// over says whether it has ended.
func (b *beating) over() bool {
	select {
	case <-b.ended:
		return true
	default:
		return false
	}
}

// end is how it ended, once it is over.
func (b *beating) end() (time.Time, error) { return b.at, b.err }

// expectAlive waits until some more lines have come through.
func (b *beating) expectAlive(t *testing.T) {
	t.Helper()
	want := b.beats.Load() + beatsWatched
	expectSoon(t, func() error {
		if b.beats.Load() >= want || b.over() {
			return nil
		}
		return errors.New("no line comes back")
	})
	if b.over() {
		t.Errorf("the long stream %s has ended after %d lines: %v, want it to go on", b.name, b.beats.Load(), endOf(b.err))
	}
}

// finish wants the stream to end well, with nothing missing.
func (b *beating) finish(t *testing.T) {
	t.Helper()
	b.once.Do(func() { close(b.stopping) })
	<-b.ended
	if b.err != nil {
		t.Errorf("the long stream %s ends after %d lines with %v, want a good end", b.name, b.beats.Load(), endOf(b.err))
	}
}

// expectCut wants the stream to be cut, by a reset, and says how long after a time that was.
func (b *beating) expectCut(t *testing.T, since time.Time, patience time.Duration) time.Duration {
	t.Helper()
	select {
	case <-b.ended:
	case <-time.After(time.Until(since.Add(patience))):
		t.Errorf("the long stream %s was not cut within %v", b.name, patience)
		return patience
	}
	if !aborted(b.err) {
		t.Errorf("the long stream %s ends with %v, want a reset", b.name, endOf(b.err))
	}
	return b.at.Sub(since).Round(time.Millisecond)
}
