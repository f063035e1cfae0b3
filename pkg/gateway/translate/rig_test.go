package translate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
)

const (
	clientID  = "web.shop.serviceaccount.identity.linkerd.cluster.local"
	gatewayID = "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
	authority = "api.shop.svc.cluster.local:8080"

	// patience is for what must happen soon, on a machine that is busy.
	patience = 20 * time.Second
)

// outcome is what one Serve returned.
type outcome struct {
	result Result
	err    error
}

// rig is a gateway on a loopback address.
type rig struct {
	addr     string
	outcomes chan outcome
	stop     context.CancelFunc
}

// gatewayTo starts a gateway in front of the application at addr.
func gatewayTo(t testing.TB, addr string, edit ...func(*Options)) *rig {
	t.Helper()
	o := Options{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		},
		Client: clientID, Gateway: gatewayID, Log: logr.Discard(),
	}
	for _, e := range edit {
		e(&o)
	}
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	r := &rig{addr: l.Addr().String(), outcomes: make(chan outcome, 1000), stop: cancel}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				result, err := Serve(ctx, conn, o)
				select {
				case r.outcomes <- outcome{result, err}:
				default: // nobody looks at so many
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		cancel()
		serving.Wait()
	})
	return r
}

// ended waits for the end of a connection.
func (r *rig) ended(t *testing.T) outcome {
	t.Helper()
	return within(t, r.outcomes, "the connection to end")
}

// endedBy is ended for the connection of a client that has no more requests. A transport notices
// that a bit after the last answer was read, and now and then opens a connection that it does not need.
func (r *rig) endedBy(t *testing.T, client *http.Client) outcome {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	timeout := time.After(patience)
	for {
		client.CloseIdleConnections()
		select {
		case o := <-r.outcomes:
			if o.result.Requests > 0 {
				return o
			}
		case <-again.C:
		case <-timeout:
			t.Fatal("the connection does not end")
		}
	}
}

// client is an HTTP/2 client of the gateway, with one connection unless that one breaks.
func (r *rig) client(t testing.TB) *http.Client {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols: &protocols,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, r.addr)
		},
		DisableCompression: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// within gives the next value of a channel.
func within[T any](t testing.TB, values <-chan T, what string) T {
	t.Helper()
	var v T
	select {
	case v = <-values:
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
	}
	return v
}

// http1App is an application that speaks HTTP/1.1 only, http2App one that speaks HTTP/2 only.
func http1App(t testing.TB, handler http.HandlerFunc) string {
	return serverApp(t, handler, func(s *http.Server) { s.Protocols.SetHTTP1(true) })
}

func http2App(t testing.TB, handler http.HandlerFunc) string {
	return serverApp(t, handler, func(s *http.Server) { s.Protocols.SetUnencryptedHTTP2(true) })
}

func serverApp(t testing.TB, handler http.HandlerFunc, edit func(*http.Server)) string {
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.DisableGeneralOptionsHandler = true
	edit(server.Config)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// rawApp is an application that is written by hand.
func rawApp(t testing.TB, serve func(net.Conn)) string {
	l := listen(t)
	var serving sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			serving.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return l.Addr().String()
}

// arrival is a request as it was on the wire to an HTTP/1 application.
type arrival struct {
	// line is the request line.
	line    string
	request *http.Request
	body    []byte
}

// recorderApp answers every HTTP/1 request with answer, and tells what arrived.
func recorderApp(t testing.TB, answer string) (addr string, arrivals <-chan arrival) {
	seen := make(chan arrival, 1000)
	addr = rawApp(t, func(conn net.Conn) {
		var wire bytes.Buffer
		reader := bufio.NewReader(io.TeeReader(conn, &wire))
		for {
			wire.Reset()
			// What the reader holds already was recorded with the last request: there is none, because
			// the gateway sends nothing before it has its answer.
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			body, err := io.ReadAll(request.Body)
			if err != nil {
				return
			}
			line, _, _ := strings.Cut(wire.String(), "\r\n")
			seen <- arrival{line, request, body}
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
		}
	})
	return addr, seen
}

const plainAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// newRequest makes a request with this very target. Headers are names and values in turn.
func newRequest(t testing.TB, method, target string, body io.Reader, headers ...string) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, "http://"+authority, body)
	if err != nil {
		t.Fatal(err)
	}
	r.URL = &url.URL{Scheme: "http", Host: authority, Opaque: target}
	if strings.HasPrefix(target, "//") {
		r.URL.Opaque = "//" + authority + target // of which the transport takes off the front
	}
	r.Header.Set("User-Agent", "") // none, then
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "User-Agent" {
			r.Header.Del(headers[i])
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// upgraded is newRequest for a request that was HTTP/1.1 at the client.
func upgraded(t testing.TB, method, target string, body io.Reader, headers ...string) *http.Request {
	t.Helper()
	return newRequest(t, method, target, body, append(headers, "l5d-orig-proto", "HTTP/1.1")...)
}

// reply is an answer that was read to its end.
type reply struct {
	status          int
	header, trailer http.Header
	length          int64
	body            string
}

// do sends a request and reads the whole answer.
func do(t testing.TB, client *http.Client, r *http.Request) reply {
	t.Helper()
	answer, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("reading the answer to %s %s: %v", r.Method, r.URL, err)
	}
	return reply{answer.StatusCode, answer.Header, answer.Trailer, answer.ContentLength, string(body)}
}

// Frames of HTTP/2, RFC 9113, section 6.
const (
	frameData, frameHeaders, frameReset, frameSettings, framePing, frameGoAway = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
	frameContinuation                                                          = 0x9

	flagEndStream, flagEndHeaders = 0x1, 0x4
)

// rawClient speaks HTTP/2 frame by frame, so that it can do what a client must not.
type rawClient struct {
	t testing.TB
	net.Conn
}

type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

// raw connects and says hello.
func (r *rig) raw(t testing.TB) *rawClient {
	t.Helper()
	c := r.connect(t)
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	c.send(frameSettings, 0, 0, nil)
	return c
}

// connect connects and says nothing.
func (r *rig) connect(t testing.TB) *rawClient {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &rawClient{t, conn}
}

func (c *rawClient) send(kind, flags byte, stream uint32, payload []byte) {
	c.t.Helper()
	if err := c.trySend(kind, flags, stream, payload); err != nil {
		c.t.Fatal(err)
	}
}

func (c *rawClient) trySend(kind, flags byte, stream uint32, payload []byte) error {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	head = append(head, flags)
	head = binary.BigEndian.AppendUint32(head, stream)
	_, err := c.Write(append(head, payload...))
	return err
}

// fields are a header block, names and values in turn, in literals that compress nothing (RFC 7541, 6.2.2).
func fields(pairs ...string) []byte {
	var block []byte
	for i, s := range pairs {
		if i%2 == 0 {
			block = append(block, 0)
		}
		if len(s) < 127 {
			block = append(block, byte(len(s)))
		} else {
			block = append(block, 127)
			block = binary.AppendUvarint(block, uint64(len(s)-127)) // the same as HPACK's integers
		}
		block = append(block, s...)
	}
	return block
}

// next gives the next frame, io.EOF after the last.
func (c *rawClient) next() (frame, error) {
	var head [9]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{kind: head[3], flags: head[4], stream: binary.BigEndian.Uint32(head[5:])}
	f.payload = make([]byte, binary.BigEndian.Uint32(head[:4])>>8)
	_, err := io.ReadFull(c, f.payload)
	return f, err
}

// until reads frames until there is one of one of the kinds.
func (c *rawClient) until(kinds ...byte) frame {
	c.t.Helper()
	for {
		f, err := c.next()
		if err != nil {
			c.t.Fatalf("no frame of the kinds %v: %v", kinds, err)
		}
		if bytes.IndexByte(kinds, f.kind) >= 0 {
			return f
		}
	}
}

// indexed gives the status of a HEADERS frame whose first field is of HPACK's static table.
func (f frame) status() string {
	statuses := map[byte]string{0x88: "200", 0x89: "204", 0x8c: "400", 0x8d: "404", 0x8e: "500"}
	if f.kind != frameHeaders || len(f.payload) == 0 {
		return fmt.Sprintf("frame of kind %d", f.kind)
	}
	return statuses[f.payload[0]]
}

// entries is a log that can be looked at.
type entries struct {
	mu    sync.Mutex
	lines []string
}

func (e *entries) logger() logr.Logger {
	return funcr.New(func(_, args string) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.lines = append(e.lines, args)
	}, funcr.Options{Verbosity: 9})
}

func (e *entries) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.lines...)
}
