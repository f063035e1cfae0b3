package pipe

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Stream is one side of a pipe.
type Stream interface {
	// Read gives io.EOF itself, not wrapped, where the other side ended its direction, and only there.
	io.Reader
	io.Writer
	// CloseWrite ends our direction; the other may go on.
	CloseWrite() error
	// Close releases a stream whose both directions have ended. One that has not is aborted.
	Close() error
	// Abort ends the stream in a way that the other side can tell from an end. It makes Read and Write
	// return, and does not wait for the other side. After Close it does nothing.
	Abort()
	// Gone says why the other side can neither send nor take any more, as when it reset the stream; nil while
	// it can, and where nobody knows. That it ended its direction is no reason. It does not wait, and may
	// be called at any time.
	Gone() error
}

// Framed is a Stream that puts a few bytes before whatever is written. Giving it room for them saves
// copying everything.
type Framed interface {
	Stream
	// Headroom is how many bytes WriteFrame needs before the payload.
	Headroom() int
	// WriteFrame writes b[Headroom():], and may overwrite what is before it. It returns how much of the
	// payload it wrote. Payloads of 48 KiB less the headroom must do.
	WriteFrame(b []byte) (int, error)
}

// Side names the side of a pipe where something happened.
type Side string

// The two sides.
const (
	Client Side = "client"
	Server Side = "server"
)

// Result is what went through a pipe.
type Result struct {
	// ToServer and ToClient are bytes that were written to each side.
	ToServer, ToClient int64
	// FirstByte is the time from the start until the first byte of the server's had been written to the
	// client; zero when there was none.
	FirstByte time.Duration
	// Err is why the stream was cut, and At the side that failed; nil when both directions ended.
	Err error
	At  Side
}

// Options of Join.
type Options struct {
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Moved is told of bytes as they are moved, so that long streams are counted before they end. It is
	// called by both directions, at the same time, often.
	Moved func(to Side, n int)
}

// Join copies between a client and a server until both directions have ended or one failed, and then
// closes both streams.
func (p *Pipes) Join(client, server Stream, o Options) Result {
	if o.Now == nil {
		o.Now = time.Now
	}
	j := &joint{options: o, started: o.Now(), up: way{side: Server, from: client, to: server}, down: way{side: Client, from: server, to: client}}
	p.begin(j)
	var wg sync.WaitGroup
	wg.Go(func() { j.forward(&j.up) })
	j.forward(&j.down)
	wg.Wait()
	p.end(j)
	j.once.Do(func() {}) // a look that is late may find a side gone: it ended well

	result := Result{
		ToServer: j.up.moved, ToClient: j.down.moved,
		FirstByte: time.Duration(j.firstByte.Load()), Err: j.err, At: j.at,
	}
	// An error here is of no use to anybody: both directions have ended or were aborted before.
	_, _ = client.Close(), server.Close()
	return result
}

// joint is one pipe.
type joint struct {
	options   Options
	started   time.Time
	firstByte atomic.Int64
	up, down  way

	once sync.Once
	err  error
	at   Side
}

// way is one direction of a pipe. Its own goroutine uses it, but for what is atomic.
type way struct {
	side     Side // where it leads to
	from, to Stream
	// moved is how many bytes were written.
	moved int64
	// turns counts the reads that began and those that returned: it is odd while from is read.
	turns atomic.Uint32
	// ending is set before the end is passed on.
	ending atomic.Bool
	// seen and still are for looks: turns and what was taken as one saw it, and how many found it the same since.
	seen  uint64
	still uint32
}

// forward moves one direction, to its end or until it fails.
func (j *joint) forward(w *way) {
	failed, err := j.run(w)
	switch {
	case err == nil:
	case failed == writing:
		j.fail(w.side, fmt.Errorf("writing to the %s: %w", w.side, err))
	default:
		j.fail(w.side.other(), fmt.Errorf("reading from the %s: %w", w.side.other(), err))
	}
}

// fail ends both directions. Only the first failure is the cause; the others follow from it.
func (j *joint) fail(at Side, err error) {
	j.once.Do(func() {
		j.err, j.at = err, at
		j.up.from.Abort()
		j.up.to.Abort()
	})
}

func (s Side) other() Side {
	if s == Client {
		return Server
	}
	return Client
}

// step is what a direction was doing.
type step int

const (
	reading step = iota
	writing
)

// run copies to the end of a direction and passes the end on.
func (j *joint) run(w *way) (step, error) {
	headroom := 0
	framed, ok := w.to.(Framed)
	if ok {
		headroom = framed.Headroom()
	}
	buf := takeSmall()
	defer func() { buf.put() }()
	for {
		w.turns.Add(1)
		n, err := w.from.Read(buf.bytes[headroom:])
		w.turns.Add(1)
		if n > 0 {
			if werr := j.write(w, framed, buf.bytes[:headroom+n]); werr != nil {
				return writing, werr
			}
			buf = buf.resized(n, headroom)
		}
		if ended(err) {
			w.ending.Store(true)
			return writing, w.to.CloseWrite()
		}
		if err != nil {
			return reading, err
		}
	}
}

// ended says whether Read told of an end. A wrapped io.EOF is the end of something that the stream was on, which is a cut.
func ended(err error) bool {
	return err == io.EOF //nolint:errorlint // see above
}

func (j *joint) write(w *way, framed Framed, b []byte) error {
	var n int
	var err error
	if framed != nil {
		n, err = framed.WriteFrame(b)
	} else {
		n, err = w.to.Write(b)
	}
	if n > 0 {
		j.count(w, n)
	}
	return err
}

func (j *joint) count(w *way, n int) {
	if w.moved == 0 && w.side == Client {
		j.firstByte.Store(max(1, int64(j.options.Now().Sub(j.started))))
	}
	w.moved += int64(n)
	if j.options.Moved != nil {
		j.options.Moved(w.side, n)
	}
}
