package pipe

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

const patience = time.Minute

var errReset = errors.New("reset by the other side")

// flow is one direction between two ends in memory. It holds at most most bytes, as a socket does.
type flow struct {
	mu      sync.Mutex
	changed *sync.Cond
	most    int
	bytes   []byte
	ended   bool
	cut     bool
}

func newFlow(most int) *flow {
	f := &flow{most: most}
	f.changed = sync.NewCond(&f.mu)
	return f
}

func (f *flow) read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.bytes) == 0 && !f.ended && !f.cut {
		f.changed.Wait()
	}
	switch {
	case f.cut:
		return 0, errReset
	case len(f.bytes) == 0:
		return 0, io.EOF
	}
	n := copy(p, f.bytes)
	f.bytes = f.bytes[n:]
	f.changed.Broadcast()
	return n, nil
}

func (f *flow) write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	written := 0
	for len(p) > 0 {
		for len(f.bytes) >= f.most && !f.cut && !f.ended {
			f.changed.Wait()
		}
		if f.cut || f.ended {
			return written, errReset
		}
		n := min(len(p), f.most-len(f.bytes))
		f.bytes = append(f.bytes, p[:n]...)
		p, written = p[n:], written+n
		f.changed.Broadcast()
	}
	return written, nil
}

func (f *flow) stop(cut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended, f.cut = f.ended || !cut, f.cut || cut
	f.changed.Broadcast()
}

// memory is one end of a pair, strict about the contract of Stream.
type memory struct {
	in, out *flow

	mu                            sync.Mutex
	readEnded, writeEnded, closed bool
}

func memoryPair(most int) (a, b *memory) {
	there, back := newFlow(most), newFlow(most)
	return &memory{in: back, out: there}, &memory{in: there, out: back}
}

func (m *memory) Read(p []byte) (int, error) {
	n, err := m.in.read(p)
	if errors.Is(err, io.EOF) {
		m.mu.Lock()
		m.readEnded = true
		m.mu.Unlock()
	}
	return n, err
}

func (m *memory) Write(p []byte) (int, error) { return m.out.write(p) }

func (m *memory) CloseWrite() error {
	m.mu.Lock()
	m.writeEnded = true
	m.mu.Unlock()
	m.out.stop(false)
	return nil
}

func (m *memory) Close() error {
	m.mu.Lock()
	complete := m.readEnded && m.writeEnded
	m.closed = true
	m.mu.Unlock()
	if !complete {
		m.Abort()
	}
	return nil
}

func (m *memory) Abort() {
	m.in.stop(true)
	m.out.stop(true)
}

func (m *memory) Gone() error {
	m.in.mu.Lock()
	defer m.in.mu.Unlock()
	if m.in.cut {
		return errReset
	}
	return nil
}

func (m *memory) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// headroom is an odd one on purpose.
const headroom = 7

// framed is a memory that wants room before the payload, and spoils that room.
type framed struct{ *memory }

func (f framed) Headroom() int { return headroom }

func (f framed) WriteFrame(b []byte) (int, error) {
	for i := range headroom {
		b[i] = 0xff
	}
	return f.Write(b[headroom:])
}

// tcpPair are the ends of a TCP connection.
func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var dialed net.Conn
	var dialErr error
	var wg sync.WaitGroup
	wg.Go(func() { dialed, dialErr = (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String()) })
	accepted, err := listener.Accept()
	wg.Wait()
	if err := errors.Join(err, dialErr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close(); accepted.Close() })
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn)
}

// kinds are pairs of streams: the end that a test holds, and the one that is joined.
var kinds = map[string]func(t *testing.T) (app, joined Stream){
	"in memory":                   func(*testing.T) (Stream, Stream) { return memoryPairOf(1000) },
	"in memory, with little room": func(*testing.T) (Stream, Stream) { return memoryPairOf(99) },
	"in memory, framed": func(*testing.T) (Stream, Stream) {
		a, b := memoryPair(100 << 10)
		return a, framed{b}
	},
	"over TCP": func(t *testing.T) (Stream, Stream) {
		near, far := tcpPair(t)
		return TCP(near), TCP(far)
	},
}

func memoryPairOf(most int) (Stream, Stream) {
	a, b := memoryPair(most)
	return a, b
}

// joined starts a Join, whose result the returned function waits for.
func joined(t *testing.T, client, server Stream, o Options) (wait func() Result) {
	t.Helper()
	done := make(chan Result, 1)
	pipes := &Pipes{Interval: time.Millisecond}
	go func() {
		r := pipes.Join(client, server, o)
		pipes.mu.Lock()
		defer pipes.mu.Unlock()
		if len(pipes.open) > 0 {
			t.Error("the pipe is not forgotten")
		}
		done <- r
	}()
	return func() Result {
		t.Helper()
		select {
		case r := <-done:
			return r
		case <-time.After(patience):
			t.Fatal("Join does not return")
			return Result{}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
