package tunnel

import (
	"encoding/binary"
	"io"
	"sync/atomic"
)

// chunkReader takes one direction of a stream out of its chunks. It reads no byte behind the end.
type chunkReader struct {
	from io.Reader

	// left is what the current chunk still holds, head what has come of the next one's. Only Read uses them.
	left uint32
	head [chunkHead]byte
	got  int

	// ended is set once the end was read, goAway when the other end wants no more streams.
	ended, goAway atomic.Bool
}

// Read implements io.Reader. io.EOF is the end of the direction, as its sender said it.
func (c *chunkReader) Read(p []byte) (int, error) {
	if c.ended.Load() {
		return 0, io.EOF
	}
	for c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n, err := c.from.Read(p[:min(len(p), int(c.left))])
	c.left -= uint32(n)
	return n, cutShort(err)
}

// next reads the head of a chunk. One that is interrupted, as by a deadline, goes on where it was; one that ends the
// stream stays, and so does its error.
func (c *chunkReader) next() error {
	for c.got < chunkHead {
		n, err := c.from.Read(c.head[c.got:])
		c.got += n
		if err != nil && c.got < chunkHead {
			return cutShort(err)
		}
	}
	switch v := binary.BigEndian.Uint32(c.head[:]); {
	case v == chunkEnd:
		c.ended.Store(true)
		return io.EOF
	case v <= MaxChunk:
		c.got, c.left = 0, v
		return nil
	case v == chunkGoAway:
		c.got = 0
		c.goAway.Store(true)
		return nil
	case v&^codeMask == chunkRefused:
		return &RefusedError{Code: Code(v & codeMask)}
	default:
		return protocolError("chunk of length", v)
	}
}

// cutShort is the end of a connection where more should have come.
func cutShort(err error) error {
	if ended(err) {
		return io.ErrUnexpectedEOF
	}
	return err
}
