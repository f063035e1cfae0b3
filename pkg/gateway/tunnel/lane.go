package tunnel

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// The lane protocol; see the package comment.
const (
	chunkHead = 4
	// MaxChunk is the most bytes of one chunk. With its length it is gathered into one write, so that what
	// other goroutines write never comes in between.
	MaxChunk = mostGathered - chunkHead

	chunkEnd     uint32 = 0
	chunkRefused uint32 = 0x8000_0000
	chunkGoAway  uint32 = 0xC000_0000
	codeMask     uint32 = 0x0000_FFFF
)

// noDeadline takes a deadline away.
var noDeadline time.Time

// laneStream is one stream on a lane.
type laneStream struct {
	*Conn
	in chunkReader
	// done is called once, by Close, and says whether the lane can carry another stream.
	done func(reusable bool)

	writeEnded atomic.Bool

	// mu guards cut and over. Once a stream is over, the lane is no longer its own to abort.
	mu        sync.Mutex
	cut, over bool
}

func newLaneStream(conn *Conn, done func(reusable bool)) *laneStream {
	return &laneStream{Conn: conn, in: chunkReader{from: conn}, done: done}
}

// frames are for writes that come without headroom.
var frames = sync.Pool{New: func() any {
	b := make([]byte, chunkHead+MaxChunk)
	return &b
}}

// Via implements Stream.
func (s *laneStream) Via() string { return ViaLane }

// Read implements net.Conn.
func (s *laneStream) Read(p []byte) (int, error) { return s.in.Read(p) }

// Headroom implements pipe.Framed.
func (s *laneStream) Headroom() int { return chunkHead }

// WriteFrame implements pipe.Framed. The payload is MaxChunk bytes at most.
func (s *laneStream) WriteFrame(b []byte) (int, error) {
	switch {
	case s.writeEnded.Load():
		return 0, net.ErrClosed // the other end takes what follows the end for the next stream
	case len(b) > chunkHead+MaxChunk:
		return 0, io.ErrShortBuffer
	case len(b) == chunkHead:
		return 0, nil // a chunk without bytes would be the end
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-chunkHead))
	n, err := s.Conn.Write(b)
	return max(0, n-chunkHead), err
}

// Write implements net.Conn.
func (s *laneStream) Write(p []byte) (int, error) {
	frame, ok := frames.Get().(*[]byte)
	if !ok {
		return 0, io.ErrShortBuffer
	}
	defer frames.Put(frame)
	written := 0
	for len(p) > 0 {
		n := copy((*frame)[chunkHead:], p)
		m, err := s.WriteFrame((*frame)[:chunkHead+n])
		written += m
		if err != nil {
			return written, err
		}
		p = p[n:]
	}
	return written, nil
}

func (s *laneStream) control(v uint32) error { return writeControl(s.Conn, v) }

// writeControl writes what has no bytes behind it.
func writeControl(to io.Writer, v uint32) error {
	_, err := to.Write(binary.BigEndian.AppendUint32(nil, v))
	return err
}

// CloseWrite implements pipe.Stream.
func (s *laneStream) CloseWrite() error {
	if s.writeEnded.Swap(true) {
		return nil
	}
	err := s.control(chunkEnd)
	if err != nil {
		s.Abort() // the end was not told
	}
	return err
}

// Abort implements pipe.Stream: the lane ends with the stream.
func (s *laneStream) Abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.cut = true
		s.Conn.Abort() // it waits for nobody
	}
}

// Close implements pipe.Stream.
func (s *laneStream) Close() error {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return nil
	}
	s.over = true
	complete := s.in.ended.Load() && s.writeEnded.Load() && !s.cut
	s.mu.Unlock()
	if complete {
		complete = s.SetDeadline(noDeadline) == nil // the next stream starts without
	}
	if !complete {
		s.Conn.Abort()
	}
	s.done(complete && !s.in.goAway.Load())
	return nil
}
