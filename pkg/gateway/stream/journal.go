package stream

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"
)

const (
	// flushInterval is how long a line may wait.
	flushInterval = time.Second
	// flushBytes is how much is written without waiting.
	flushBytes = 32 << 10
	// maxPending is how much may wait while the writer stalls. Beyond, lines are dropped: a log that is
	// not read must cost neither streams nor memory.
	maxPending = 1 << 20
)

// journal gathers lines, and writes them in order.
type journal struct {
	to io.Writer
	// dropped is told of lines that will never be written, and why.
	dropped func(lines int, err error)
	full    chan struct{}

	writing sync.Mutex
	spare   []byte // guarded by writing

	mu      sync.Mutex
	pending []byte // guarded by mu
}

func newJournal(to io.Writer, dropped func(lines int, err error)) *journal {
	return &journal{to: to, dropped: dropped, full: make(chan struct{}, 1)}
}

// add takes one line, which appendLine makes. It never waits for the writer.
func (j *journal) add(appendLine func([]byte) []byte) {
	if !j.gather(appendLine) {
		j.dropped(1, nil)
	}
}

func (j *journal) gather(appendLine func([]byte) []byte) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.pending) >= maxPending {
		return false
	}
	j.pending = appendLine(j.pending)
	if len(j.pending) >= flushBytes {
		select {
		case j.full <- struct{}{}:
		default: // it knows
		}
	}
	return true
}

// run writes until ctx ends, then what is left. tick is called about once in flushInterval.
func (j *journal) run(ctx context.Context, tick func()) {
	ticker := time.NewTicker(flushInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			j.flush()
			return
		case <-j.full:
		case <-ticker.C:
			tick()
		}
		j.flush()
	}
}

// flush writes what was gathered so far.
func (j *journal) flush() {
	j.writing.Lock()
	defer j.writing.Unlock()
	lines := j.take()
	if len(lines) == 0 {
		return
	}
	if n, err := j.to.Write(lines); err != nil {
		j.dropped(bytes.Count(lines[n:], []byte{'\n'}), err)
	}
}

// take exchanges the two buffers.
func (j *journal) take() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.pending
	j.pending, j.spare = j.spare[:0], lines
	return lines
}
