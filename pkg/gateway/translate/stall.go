package translate

import (
	"net/http"
	"sync"
	"time"
)

// stallWriter resets an answer of which its client takes nothing for too long. A client that answers pings is not cut
// off for that, as its other requests may go on; but what it does not take is held in memory, and so is
// the connection to the application.
type stallWriter struct {
	http.ResponseWriter
	limit time.Duration
	// told is called once, when the answer is reset.
	told  func()
	timer *time.Timer // for the handler only; nil before the first write

	mu   sync.Mutex
	over bool // the handler has ended, and the server has taken the answer back
}

// Write implements http.ResponseWriter. It takes limit at the most for bytes of one buffer.
func (s *stallWriter) Write(p []byte) (int, error) {
	s.begin()
	defer s.timer.Stop()
	return s.ResponseWriter.Write(p)
}

// FlushError is for http.ResponseController.
func (s *stallWriter) FlushError() error {
	s.begin()
	defer s.timer.Stop()
	return http.NewResponseController(s.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (s *stallWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *stallWriter) begin() {
	if s.timer == nil {
		s.timer = time.AfterFunc(s.limit, s.reset)
		return
	}
	s.timer.Reset(s.limit)
}

func (s *stallWriter) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.told()
	// A deadline that is over resets the stream at once. It fails only for HTTP/1, which is not served here.
	_ = http.NewResponseController(s.ResponseWriter).SetWriteDeadline(time.Unix(1, 0))
}

// end comes last in the handler.
func (s *stallWriter) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.timer != nil {
		s.timer.Stop()
	}
}
