package ingress

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-yamux/v5"

	pki "github.com/linkspan/linkspan/test/certs"
)

// The client's side of the wire, written by hand from the documents: nothing here is of the code under test.

const (
	alpnLinkerd = "transport.l5d.io/v1"
	alpnLane    = "lane.linkspan.io/v1"
	alpnMux     = "mux.linkspan.io/v1"
)

// Protocols of a stream, as the message has them: nothing, or a field 3 with an empty message 1 or 2 in it.
const (
	opaque = ""
	http1  = "\x1a\x02\x0a\x00"
	http2  = "\x1a\x02\x12\x00"
)

// header is Linkerd's transport header.
func header(name string, port int, protocol string) []byte {
	message := binary.AppendUvarint([]byte{0x08}, uint64(port))
	message = binary.AppendUvarint(append(message, 0x12), uint64(len(name)))
	message = append(append(message, name...), protocol...)
	b := []byte("transport.l5d.io/v1\r\n\r\n")
	b = binary.BigEndian.AppendUint32(b, uint32(len(message)))
	return append(b, message...)
}

// credentials give what a client of another cluster presents.
func (g *gateway) credentials(identity string, opts ...pki.Option) *tls.Config {
	g.Helper()
	return g.credentialsUnder(g.anchor, identity, opts...)
}

func (g *gateway) credentialsUnder(anchor *pki.Authority, identity string, opts ...pki.Option) *tls.Config {
	g.Helper()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: gatewayName, RootCAs: pki.Pool(g.anchor),
		Certificates: []tls.Certificate{g.pki.Leaf(g.pki.Issuer(anchor, "west"), identity, opts...).TLS()},
	}
}

// dial connects to the gateway.
func (g *gateway) dial() (*net.TCPConn, error) {
	return net.DialTCP("tcp", nil, g.server.Addr().(*net.TCPAddr))
}

// connect makes a TCP connection, which ends with the test.
func (g *gateway) connect() *net.TCPConn {
	g.Helper()
	conn, err := g.dial()
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		g.Fatal(err)
	}
	return conn
}

// secure makes a TLS connection with one ALPN protocol. A refusal after the handshake, which in TLS 1.3 the
// client does not see yet, is no error here.
func (g *gateway) secure(config *tls.Config, alpn string) *tls.Conn {
	g.Helper()
	conn, err := g.trySecure(config, alpn)
	if err != nil {
		g.Fatal(err)
	}
	return conn
}

func (g *gateway) trySecure(config *tls.Config, alpn string) (*tls.Conn, error) {
	g.Helper()
	config = config.Clone()
	config.NextProtos = []string{alpn}
	conn := tls.Client(g.connect(), config)
	return conn, conn.HandshakeContext(g.Context())
}

// far is a stream as its client sees it.
type far interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// way is one of the three ways to carry streams.
type way struct {
	name, alpn string
	// begin starts a stream on a connection that is new.
	begin func(t testing.TB, conn *tls.Conn, header []byte) far
	// coded says that a refusal comes with its code.
	coded bool
}

func ways() []way {
	return []way{
		{name: "tls", alpn: alpnLinkerd, begin: beginPlain},
		{name: "lane", alpn: alpnLane, begin: beginLane, coded: true},
		{name: "mux", alpn: alpnMux, begin: beginMux, coded: true},
	}
}

// eachWay runs a test over all ways.
func eachWay(t *testing.T, test func(t *testing.T, w way)) {
	t.Helper()
	for _, w := range ways() {
		t.Run("over "+w.name, func(t *testing.T) {
			t.Parallel()
			test(t, w)
		})
	}
}

// open opens a stream on a connection of its own.
func (g *gateway) open(w way, config *tls.Config, name string, port int, protocol string) far {
	g.Helper()
	return w.begin(g.T, g.secure(config, w.alpn), header(name, port, protocol))
}

// openEcho is open for shop/echo.
func (g *gateway) openEcho(w way, config *tls.Config) far {
	g.Helper()
	return g.open(w, config, echoName, 80, opaque)
}

func beginPlain(t testing.TB, conn *tls.Conn, header []byte) far {
	t.Helper()
	if _, err := conn.Write(header); err != nil {
		t.Fatal(err)
	}
	return conn
}

// refused is a refusal with its code.
type refused uint32

func (r refused) Error() string { return fmt.Sprintf("refused with code %d", uint32(r)) }

// farLane is one stream on a lane: each direction is a sequence of chunks, and one of length 0 at its end.
type farLane struct {
	conn  *tls.Conn
	left  uint32
	ended bool
	// goAway says that the gateway wants no more streams.
	goAway bool
}

func beginLane(t testing.TB, conn *tls.Conn, header []byte) far {
	t.Helper()
	if _, err := conn.Write(header); err != nil {
		t.Fatal(err)
	}
	return &farLane{conn: conn}
}

func (l *farLane) Read(p []byte) (int, error) {
	for l.left == 0 && !l.ended {
		var length [4]byte
		if _, err := io.ReadFull(l.conn, length[:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // this is no end
			}
			return 0, err
		}
		switch n := binary.BigEndian.Uint32(length[:]); {
		case n == 0:
			l.ended = true
		case n == 0xC0000000:
			l.goAway = true
		case n&0x80000000 != 0:
			return 0, refused(n & 0xFFFF)
		case n > 65532:
			return 0, fmt.Errorf("a chunk of %d bytes", n)
		default:
			l.left = n
		}
	}
	if l.ended {
		return 0, io.EOF
	}
	n, err := l.conn.Read(p[:min(len(p), int(l.left))])
	l.left -= uint32(n)
	return n, err
}

func (l *farLane) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	_, err := l.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...))
	return len(p), err
}

func (l *farLane) CloseWrite() error {
	_, err := l.conn.Write([]byte{0, 0, 0, 0})
	return err
}

func (l *farLane) Close() error { return l.conn.Close() }

// farMux is one stream of a session.
type farMux struct {
	*yamux.Stream
	session *farSession
}

// farSession is a yamux session, which ends with the test. The gateway asks for no more streams by opening one.
type farSession struct {
	*yamux.Session
	goAway atomic.Bool
}

func beginMux(t testing.TB, conn *tls.Conn, header []byte) far {
	t.Helper()
	return openMux(t, newSession(t, conn), header)
}

func newSession(t testing.TB, conn net.Conn) *farSession {
	t.Helper()
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	mux, err := yamux.Client(conn, config, nil)
	if err != nil {
		t.Fatal(err)
	}
	session := &farSession{Session: mux}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			s, err := session.AcceptStream()
			if err != nil {
				return
			}
			session.goAway.Store(true)
			_ = s.Reset()
		}
	})
	t.Cleanup(func() {
		_ = session.Close()
		accepting.Wait()
	})
	return session
}

func openMux(t testing.TB, session *farSession, header []byte) far {
	t.Helper()
	s, err := session.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(header); err != nil {
		t.Fatal(err)
	}
	return farMux{s, session}
}

func (m farMux) Read(p []byte) (int, error) {
	n, err := m.Stream.Read(p)
	if reset, ok := errors.AsType[*yamux.StreamError](err); ok && reset.Remote && reset.ErrorCode != 0 {
		return n, refused(reset.ErrorCode)
	}
	return n, err
}

// abort ends a stream as a client does that has died.
func abort(t testing.TB, f far) {
	t.Helper()
	switch s := f.(type) {
	case *tls.Conn:
		breakOff(t, s)
	case *farLane:
		breakOff(t, s.conn)
	case farMux:
		_ = s.Reset()
	default:
		t.Fatalf("%T", f)
	}
}

// breakOff resets a TLS connection, without a word of TLS.
func breakOff(t testing.TB, conn *tls.Conn) {
	t.Helper()
	raw := conn.NetConn().(*net.TCPConn)
	if err := raw.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = raw.Close()
}

// say writes text, and expects it back.
func say(t testing.TB, f far, text string) {
	t.Helper()
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatal(err)
	}
	expectText(t, f, text)
}

// expectText reads this very text.
func expectText(t testing.TB, r io.Reader, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != text {
		t.Fatalf("read %q (%v), want %q", got[:n], err, text)
	}
}

// finish ends our direction, and expects that the other one ends too, with nothing in it.
func finish(t testing.TB, f far) {
	t.Helper()
	if err := f.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(f); err != nil || len(rest) > 0 {
		t.Fatalf("read %q (%v), want the end", rest, err)
	}
}

// expectCut expects that the stream ends in a way that nobody can take for an end.
func expectCut(t testing.TB, f far) {
	t.Helper()
	if err := howCut(t, f); err == nil {
		t.Fatal("the stream ended in good order, want an abort")
	}
}

// howCut waits for the end of a stream, and gives the error that it ended with.
func howCut(t testing.TB, f far) error {
	t.Helper()
	_, err := io.ReadAll(f)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		t.Fatal("the stream was not cut")
	}
	return err
}

// expectRefused expects a refusal, with its code where the way has codes.
func (w way) expectRefused(t testing.TB, f far, code uint32) {
	t.Helper()
	err := howCut(t, f)
	if err == nil {
		t.Fatal("the stream ended in good order, want a refusal")
	}
	if got, ok := errors.AsType[refused](err); w.coded && (!ok || uint32(got) != code) {
		t.Errorf("the stream ended with %v, want a refusal of code %d", err, code)
	}
}

// expectTurnedAway expects that a connection is reset before anything is said, which can be as early as in connecting.
func (g *gateway) expectTurnedAway() {
	g.Helper()
	conn, err := g.dial()
	if err == nil {
		defer func() { _ = conn.Close() }()
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		g.Errorf("the connection ended with %v, want a reset", err)
	}
}

// within waits for a channel.
func within[T any](t testing.TB, values <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-values:
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
	}
	return v
}

// measured gives how long something took.
func measured(do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began)
}

// Applications.

// echo sends back what it gets, and ends when its client does.
func echo(conn *net.TCPConn) {
	if _, err := io.Copy(conn, conn); err == nil {
		_ = conn.CloseWrite()
	}
}

// greet speaks first.
func greet(conn *net.TCPConn) {
	if _, err := io.WriteString(conn, "220 ready\r\n"); err == nil {
		echo(conn)
	}
}

// firehose sends as much as it can.
func firehose(conn *net.TCPConn) {
	b := make([]byte, 32<<10)
	for {
		if _, err := conn.Write(b); err != nil {
			return
		}
	}
}

// witness echoes, and tells how each of its connections ended.
type witness struct {
	mu   sync.Mutex
	ends []error
}

func (w *witness) serve(conn *net.TCPConn) {
	_, err := io.Copy(conn, conn)
	w.mu.Lock()
	w.ends = append(w.ends, err)
	w.mu.Unlock()
}

func (w *witness) seen() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]error(nil), w.ends...)
}
