package pipe

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/socket"
)

// TCP is a Stream over a TCP connection. From now on whatever closes the connection resets it, unless
// both directions have ended: when a process is killed the kernel closes its connections, and what it was in the
// middle of must not look complete to the other side.
func TCP(conn *net.TCPConn) Stream {
	_ = conn.SetLinger(0) // fails only on a connection that is closed already
	return &tcp{conn: conn, silence: socket.NewSilence(time.Now())}
}

// tcp does not embed its connection: io.Copy would use the methods that go around Read.
type tcp struct {
	conn *net.TCPConn
	// sent counts the beginnings and the ends of what writes to the other end. silence, and answered, which is what sent was
	// when the other end had answered all of it, are for looks only.
	sent     atomic.Uint32
	answered uint32
	silence  socket.Silence

	mu                    sync.Mutex
	readEnded, writeEnded bool
}

// Read implements Stream.
func (t *tcp) Read(b []byte) (int, error) {
	n, err := t.conn.Read(b)
	if ended(err) {
		err = t.judgeEnd(err)
	}
	return n, err
}

// Write implements Stream.
func (t *tcp) Write(b []byte) (int, error) {
	t.sent.Add(1)
	defer t.sent.Add(1)
	return t.conn.Write(b)
}

// judgeEnd tells an end from a reset. Linux gives the error of a reset to one caller only; if that was a
// Write, Read sees an end. As long as we have not ended our direction, the state of the connection
// tells; afterwards nobody writes, so that Read gets the error.
func (t *tcp) judgeEnd(end error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if closed, _ := lost(t.conn); closed && !t.writeEnded {
		return fmt.Errorf("read: %w", syscall.ECONNRESET)
	}
	t.readEnded = true
	return end
}

// Gone implements Stream.
func (t *tcp) Gone() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if closed, failed := lost(t.conn); failed || closed && !t.writeEnded {
		return fmt.Errorf("the connection is no more: %w", syscall.ECONNRESET)
	}
	return nil
}

// Taken is how many bytes the other end has acknowledged.
func (t *tcp) Taken() uint64 {
	heard, _ := socket.Sound(t.conn)
	return heard.Acked
}

// unanswered says whether a host has vanished that something was sent to. Nobody else notices for a quarter of an hour:
// Linux sends no keep-alives while it waits for an acknowledgement. The kernel is not asked about a connection that
// nothing is sent on.
func (t *tcp) unanswered(now time.Time) bool {
	sent := t.sent.Load()
	if sent == t.answered {
		t.silence = socket.NewSilence(now)
		return false
	}
	heard, ok := socket.Sound(t.conn)
	if ok && !heard.Owed && sent%2 == 0 {
		t.answered = sent
	}
	return ok && t.silence.Lasted(now, heard) >= socket.Patience
}

// CloseWrite implements Stream.
func (t *tcp) CloseWrite() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent.Add(1)
	defer t.sent.Add(1)
	err := t.conn.CloseWrite() // it does not wait
	if err == nil {
		t.writeEnded = true
	}
	return err
}

// Close implements Stream. Closing the connection alone would look like an end.
func (t *tcp) Close() error {
	t.mu.Lock()
	complete := t.readEnded && t.writeEnded
	t.mu.Unlock()
	if !complete {
		t.Abort()
		return nil
	}
	if err := t.conn.SetLinger(-1); err != nil {
		return err // it was aborted meanwhile
	}
	return t.conn.Close()
}

// Abort implements Stream: the other side gets a reset (RFC 9293 section 3.10.5), not an end.
func (t *tcp) Abort() {
	_ = t.conn.Close() // fails only when it is closed already
}
