package pipe

import "sync"

const (
	// smallSize is what a direction holds while it waits: most of ten thousand idle streams' memory.
	smallSize = 768
	// bigSize holds three TLS records of the largest size (RFC 8446 section 5.1). Four, with what TLS adds, are
	// a little more than the 64 KiB that the kernel sends as one segment: the rest would go out, and wake
	// its reader, by itself. That costs a fifth of the processor time (make bench-gateway).
	bigSize = 48 << 10
)

// buffer is a buffer and the pool that it goes back to.
type buffer struct {
	bytes []byte
	pool  *sync.Pool
}

// Pools are shared by all pipes of a process: buffers of streams that ended serve the next ones.
var smallBuffers, bigBuffers sync.Pool

func takeSmall() *buffer { return take(&smallBuffers, smallSize) }

func takeBig() *buffer { return take(&bigBuffers, bigSize) }

func take(pool *sync.Pool, size int) *buffer {
	if b, ok := pool.Get().(*buffer); ok {
		return b
	}
	return &buffer{bytes: make([]byte, size), pool: pool}
}

func (b *buffer) put() { b.pool.Put(b) }

// resized is the buffer for the next read, after one that brought n bytes: large once a small one was
// filled, small again once so little came that a small one would have done.
func (b *buffer) resized(n, headroom int) *buffer {
	switch {
	case b.pool == &smallBuffers && n == smallSize-headroom:
		b.put()
		return takeBig()
	case b.pool == &bigBuffers && n < smallSize-headroom:
		b.put()
		return takeSmall()
	default:
		return b
	}
}
