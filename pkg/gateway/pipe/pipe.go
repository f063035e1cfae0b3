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
func Join(client, server Stream, o Options) Result {
	if o.Now == nil {
		o.Now = time.Now
	}
	j := &joint{client: client, server: server, options: o, started: o.Now()}
	var wg sync.WaitGroup
	wg.Go(func() { j.forward(Server, client, server, &j.toServer) })
	j.forward(Client, server, client, &j.toClient)
	wg.Wait()

	result := Result{
		ToServer: j.toServer, ToClient: j.toClient,
		FirstByte: time.Duration(j.firstByte.Load()), Err: j.err, At: j.at,
	}
	// An error here is of no use to anybody: both directions have ended or were aborted before.
	_, _ = client.Close(), server.Close()
	return result
}

type joint struct {
	client, server Stream
	options        Options
	started        time.Time
	firstByte      atomic.Int64

	// Each is written by its own direction only, and read after both have ended.
	toServer, toClient int64

	once sync.Once
	err  error
	at   Side
}

// forward moves one direction, to its end or until it fails.
func (j *joint) forward(to Side, from, dst Stream, moved *int64) {
	c := copier{from: from, to: dst}
	c.moved = func(n int) {
		if *moved == 0 && to == Client {
			j.firstByte.Store(max(1, int64(j.options.Now().Sub(j.started))))
		}
		*moved += int64(n)
		if j.options.Moved != nil {
			j.options.Moved(to, n)
		}
	}
	failed, err := c.run()
	if err == nil {
		return
	}
	if failed == writing {
		j.fail(to, fmt.Errorf("writing to the %s: %w", to, err))
	} else {
		j.fail(to.other(), fmt.Errorf("reading from the %s: %w", to.other(), err))
	}
}

// fail ends both directions. Only the first failure is the cause; the others follow from it.
func (j *joint) fail(at Side, err error) {
	j.once.Do(func() {
		j.err, j.at = err, at
		j.client.Abort()
		j.server.Abort()
	})
}

func (s Side) other() Side {
	if s == Client {
		return Server
	}
	return Client
}

// step is what a copier was doing.
type step int

const (
	reading step = iota
	writing
)

// copier moves bytes one way.
type copier struct {
	from  Stream
	to    Stream
	moved func(n int)
}

// run copies to the end of from and passes the end on.
func (c *copier) run() (step, error) {
	headroom := 0
	framed, ok := c.to.(Framed)
	if ok {
		headroom = framed.Headroom()
	}
	buf := takeSmall()
	defer func() { buf.put() }()
	for {
		n, err := c.from.Read(buf.bytes[headroom:])
		if n > 0 {
			if werr := c.write(framed, buf.bytes[:headroom+n]); werr != nil {
				return writing, werr
			}
			buf = buf.resized(n, headroom)
		}
		if ended(err) {
			return writing, c.to.CloseWrite()
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

func (c *copier) write(framed Framed, b []byte) error {
	var n int
	var err error
	if framed != nil {
		n, err = framed.WriteFrame(b)
	} else {
		n, err = c.to.Write(b)
	}
	if n > 0 {
		c.moved(n)
	}
	return err
}
