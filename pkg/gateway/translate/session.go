package translate

import (
	"log"
	"net/http"
	"sync"
	"sync/atomic"
)

// session is what the requests of one client connection share.
type session struct {
	options     Options
	application *application
	errorLog    *log.Logger
	buffers     buffers

	requests, refused, failed atomic.Uint64
	// alone is set while a request uses the place that the connection has itself.
	alone atomic.Bool

	mu       sync.Mutex
	finished bool
	running  sync.WaitGroup
}

// ServeHTTP implements http.Handler.
func (s *session) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		return // the connection has ended: nobody sees an answer
	}
	defer s.running.Done()
	s.requests.Add(1)

	answer := &stallWriter{ResponseWriter: w, limit: s.options.Limits.AnswerTimeout, told: func() {
		s.options.Log.V(1).Info("Ended an answer that its client did not take", "client", s.options.Client, "for", s.options.Limits.AnswerTimeout.String())
	}}
	defer answer.end()

	x := &exchange{session: s, grpc: isGRPC(r.Header)}
	leave, ok := s.room()
	if !ok {
		s.refuse(answer, x, noRoom)
		return
	}
	defer leave()
	if f := x.admit(r); f != nil {
		s.refuse(answer, x, f)
		return
	}
	x.forward(answer, r)
}

// room takes a place for a request. One at a time has that of the connection.
func (s *session) room() (leave func(), ok bool) {
	if s.options.Room == nil || s.alone.CompareAndSwap(false, true) {
		return func() { s.alone.Store(false) }, true
	}
	return s.options.Room()
}

func (s *session) refuse(w http.ResponseWriter, x *exchange, f *fault) {
	s.refused.Add(1)
	s.options.Log.V(1).Info("Refused a request", "client", s.options.Client, "reason", f.text)
	f.write(answerWriter{w}, x.grpc)
}

// begin registers a request, unless the session is over: the server starts handlers in goroutines that
// may come to run after the connection has ended.
func (s *session) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished {
		return false
	}
	s.running.Add(1)
	return true
}

// finish waits for the requests. The connection has ended, and so have their contexts.
func (s *session) finish() {
	s.mu.Lock()
	s.finished = true
	s.mu.Unlock()
	s.running.Wait()
}

func (s *session) result() Result {
	return Result{Requests: s.requests.Load(), Refused: s.refused.Load(), Failed: s.failed.Load()}
}

// buffers are what answers are copied through. A frame of HTTP/2 is no larger unless asked for.
type buffers struct{ pool sync.Pool }

const bufferSize = 16 << 10

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buffer[:]
	}
	return make([]byte, bufferSize)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(buffer []byte) { b.pool.Put((*[bufferSize]byte)(buffer)) }
