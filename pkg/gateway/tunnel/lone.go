package tunnel

import "sync/atomic"

// loneStream is a stream on a connection of its own: Linkerd's wire.
type loneStream struct {
	*Conn
	// done is called once, by Close; it may be nil.
	done func()
	// framed is set when what is inside says itself where it ends, as HTTP/2 does. Its servers close
	// a connection without ending their direction first, which then is no abort.
	framed bool

	readEnded, writeEnded, over atomic.Bool
}

// Via implements Stream.
func (s *loneStream) Via() string { return ViaTLS }

// Read implements net.Conn.
func (s *loneStream) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if ended(err) {
		s.readEnded.Store(true)
	}
	return n, err
}

// CloseWrite implements pipe.Stream.
func (s *loneStream) CloseWrite() error {
	err := s.Conn.CloseWrite()
	if err == nil {
		s.writeEnded.Store(true)
	}
	return err
}

// Close implements pipe.Stream. Closing the connection alone would send a close_notify, which looks
// like an end.
func (s *loneStream) Close() error {
	if s.over.Swap(true) {
		return nil
	}
	if s.done != nil {
		defer s.done()
	}
	if s.framed || s.readEnded.Load() && s.writeEnded.Load() {
		return s.Conn.Close()
	}
	s.Abort()
	return nil
}
