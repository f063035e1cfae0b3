package tunnel

import (
	"io"
	"sync"
)

// aheadSize is how much is read at a time while much is moved: as much as is gathered by a writer.
const aheadSize = 64 << 10

var aheadBuffers = sync.Pool{New: func() any {
	b := make([]byte, aheadSize)
	return &b
}}

// ahead reads more than crypto/tls asks for while much is moved: one system call for several TLS
// records. It belongs to whoever reads from the connection.
type ahead struct {
	buf      *[]byte
	pos, end int
	// bulk is set while the reader has room for several records.
	bulk bool
	// noWait makes a read that would have to wait fail instead.
	noWait bool
}

// read gives what was read ahead, or reads from r.
func (a *ahead) read(r io.Reader, b []byte) (int, error) {
	if a.pos < a.end {
		return a.take(b), nil
	}
	if a.noWait {
		return 0, errWouldWait
	}
	if !a.bulk {
		return r.Read(b)
	}
	if a.buf == nil {
		buf, ok := aheadBuffers.Get().(*[]byte)
		if !ok {
			return r.Read(b)
		}
		a.buf = buf
	}
	n, err := r.Read(*a.buf)
	a.pos, a.end = 0, n
	return a.take(b), err
}

// take gives what was read ahead.
func (a *ahead) take(b []byte) int {
	if a.buf == nil {
		return 0
	}
	n := copy(b, (*a.buf)[a.pos:a.end])
	a.pos += n
	a.release()
	return n
}

// release gives the buffer back if it is empty and no more is expected.
func (a *ahead) release() {
	if a.buf != nil && a.pos == a.end && !a.bulk {
		aheadBuffers.Put(a.buf)
		a.buf = nil
	}
}

// errWouldWait is an error that crypto/tls takes for a deadline: it keeps what it has of a record, and
// the next read goes on from there.
var errWouldWait error = wouldWait{}

type wouldWait struct{}

// Error implements error.
func (wouldWait) Error() string { return "nothing more has come yet" }

// Timeout implements net.Error.
func (wouldWait) Timeout() bool { return true }

// Temporary implements net.Error. It is what crypto/tls asks.
func (wouldWait) Temporary() bool { return true }

// readMuch fills b with what has come, waiting only for the first of it.
func (c *Conn) readMuch(b []byte) (int, error) {
	a := &c.raw.ahead
	a.bulk = true
	n, err := c.Conn.Read(b)
	a.noWait = true
	for err == nil && n < len(b) {
		m, more := c.Conn.Read(b[n:])
		n += m
		if more != nil {
			break // a real error, or the end, is what the next Read gives too
		}
	}
	a.noWait, a.bulk = false, false
	a.release()
	return n, err
}
