package translate

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

var connectionRefused = os.NewSyscallError("connect", syscall.ECONNREFUSED)

func TestWhatTheApplicationDidWrongIsSaid(t *testing.T) {
	answering := func(answer string) func(*testing.T) *rig {
		return func(t *testing.T) *rig {
			return gatewayTo(t, answeringApp(t, answer))
		}
	}
	dialling := func(dial func(context.Context) (net.Conn, error)) func(*testing.T) *rig {
		return func(t *testing.T) *rig {
			return gatewayTo(t, "", func(o *Options) { o.Dial, o.Limits.ConnectTimeout = dial, 50*time.Millisecond })
		}
	}
	for name, c := range map[string]struct {
		gateway func(*testing.T) *rig
		http2   bool
		status  int
		text    string
	}{
		"nobody listens": {
			func(t *testing.T) *rig { return gatewayTo(t, unusedAddress(t)) }, false,
			503, "the gateway could not reach the service: connection refused",
		},
		"no route": {
			dialling(func(context.Context) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}
			}), false,
			502, "the gateway could not reach the service: no route to host",
		},
		"a hostile error": {
			dialling(func(context.Context) (net.Conn, error) {
				return nil, errors.New("a\r\nSet-Cookie: b\x00ü" + strings.Repeat("x", 1000))
			}), false,
			502, "the gateway could not reach the service: a??Set-Cookie: b??" + strings.Repeat("x", 181),
		},
		"connecting takes too long": {
			dialling(func(ctx context.Context) (net.Conn, error) {
				<-ctx.Done()
				return nil, errors.New("gave up")
			}), false,
			504, "the gateway could not reach the service: connecting took longer than 50ms",
		},
		"its own limit for connecting": {
			dialling(func(context.Context) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
			}), false,
			504, "the gateway could not reach the service: connecting took longer than 50ms",
		},
		"it closes without an answer":         {answering(""), false, 502, "the connection to the service ended without an answer"},
		"it closes within the head":           {answering("HTTP/1.1 200 OK\r\nA"), false, 502, "service"},
		"it closes without an answer, HTTP/2": {answering(""), true, 502, "service"},
		"it speaks something else":            {answering("220 mail ready\r\n"), false, 502, "service"},
		"it speaks no HTTP/2":                 {answering("HTTP/1.1 400 Bad Request\r\n\r\n"), true, 502, "the gateway could not get an answer from the service: "},
		"it switches protocols": {
			answering("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), false,
			502, "the service wants to switch protocols",
		},
		"its status is none":       {answering("HTTP/1.1 099 Hm\r\nContent-Length: 0\r\n\r\n"), false, 502, "answered with the status 99, which is none"},
		"its head is too long":     {answering("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", defaultMaxHeaderBytes) + "\r\n\r\n"), false, 502, "service"},
		"it answers in two voices": {answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), false, 502, "service"},
	} {
		t.Run(name, func(t *testing.T) {
			g := c.gateway(t)
			client := g.client(t)
			r := upgraded(t, "POST", "/", strings.NewReader("body"))
			if c.http2 {
				r.Header.Del("l5d-orig-proto")
			}
			answer := do(t, client, r)
			text := answer.header.Get("L5d-Proxy-Error")
			if answer.status != c.status || !strings.Contains(text, c.text) || len(text) > 300 || answer.body != text+"\n" {
				t.Errorf("got %+v", answer)
			}
			if strings.Contains(text, "127.0.0.1") || strings.Contains(text, "192.0.2.1") {
				t.Errorf("the text names an address: %q", text)
			}
			if got := g.endedBy(t, client); got.err != nil || got.result != (Result{Requests: 1, Failed: 1}) {
				t.Errorf("ended with %+v", got)
			}
		})
	}
}

// answeringApp says the same whatever it is asked, and then no more.
func answeringApp(t testing.TB, answer string) string {
	return rawApp(t, func(conn net.Conn) {
		if _, err := conn.Read(make([]byte, 4096)); err != nil {
			return
		}
		_, _ = io.WriteString(conn, answer)
		if tcp, ok := conn.(*net.TCPConn); ok { // closing with bytes unread would lose what was written
			_ = tcp.CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
		}
	})
}

func TestAnAnswerThatBreaksOffIsNotPassedForAWholeOne(t *testing.T) {
	for name, head := range map[string]string{
		"with a length": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
		"in chunks":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			log := new(entries)
			g := gatewayTo(t, answeringApp(t, head), func(o *Options) { o.Log = log.logger() })
			client := g.client(t)
			answer, err := client.Do(upgraded(t, "GET", "/", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if body, err := io.ReadAll(answer.Body); err == nil {
				t.Errorf("got %q as if it were all", body)
			}
			if got := g.endedBy(t, client); got.err != nil || got.result != (Result{Requests: 1, Failed: 1}) {
				t.Errorf("ended with %+v", got)
			}
			for _, line := range log.all() {
				if !strings.Contains(line, `"level"=1`) || strings.Contains(line, "panic") {
					t.Errorf("logged %s", line)
				}
			}
		})
	}
}

// Tunnels and upgrades do not belong into HTTP/2: a Linkerd proxy sends them in other ways.
func TestTunnelsAreRefused(t *testing.T) {
	addr, arrivals := recorderApp(t, plainAnswer)
	g := gatewayTo(t, addr)
	t.Run("CONNECT", func(t *testing.T) {
		c := g.raw(t)
		c.send(frameHeaders, flagEndHeaders, 1, fields(":method", "CONNECT", ":authority", authority))
		// 501 is not in HPACK's table: it is the text that tells.
		if f := c.until(frameData, frameReset, frameGoAway); !strings.Contains(string(f.payload), "does not make tunnels with CONNECT") {
			t.Errorf("got %+v", f)
		}
	})
	t.Run("extended CONNECT", func(t *testing.T) {
		c := g.raw(t)
		c.send(frameHeaders, flagEndHeaders, 1, fields(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/", ":authority", authority))
		if f := c.until(frameHeaders, frameReset, frameGoAway); f.kind != frameReset {
			t.Errorf("got %+v", f)
		}
	})
	t.Run("an upgrade", func(t *testing.T) {
		c := g.raw(t)
		c.send(frameHeaders, flagEndHeaders, 1, fields(":method", "GET", ":scheme", "http", ":path", "/", ":authority", authority,
			"l5d-orig-proto", "HTTP/1.1", "connection", "Upgrade", "upgrade", "websocket"))
		if f := c.until(frameHeaders, frameReset, frameGoAway); f.status() != "400" {
			t.Errorf("got %+v", f)
		}
	})
	if len(arrivals) > 0 {
		t.Errorf("%q reached the application", (<-arrivals).line)
	}
}

// What would mean one thing to us and another to an HTTP/1 application never gets there. Go's server
// stops most of it; that is why it is shown, and not believed.
func TestSmugglingIsRefused(t *testing.T) {
	head := func(method, path, host string, more ...string) []string {
		return append([]string{":method", method, ":scheme", "http", ":path", path, ":authority", host, "l5d-orig-proto", "HTTP/1.1"}, more...)
	}
	for name, pairs := range map[string][]string{
		"a line break in a value":            head("GET", "/", authority, "x-a", "b\r\nX-Evil: c"),
		"a bare line feed in a value":        head("GET", "/", authority, "x-a", "b\nX-Evil: c"),
		"a bare carriage return in a value":  head("GET", "/", authority, "x-a", "b\rX-Evil: c"),
		"a NUL in a value":                   head("GET", "/", authority, "x-a", "b\x00c"),
		"a line break in a name":             head("GET", "/", authority, "x-a: b\r\nx-evil", "c"),
		"a colon in a name":                  head("GET", "/", authority, "x-a:", "c"),
		"a space in a name":                  head("GET", "/", authority, "x-a ", "c"),
		"an empty name":                      head("GET", "/", authority, "", "c"),
		"a name in capital letters":          head("GET", "/", authority, "Transfer-Encoding", "chunked"),
		"transfer-encoding":                  head("POST", "/", authority, "transfer-encoding", "chunked"),
		"transfer-encoding and a length":     head("POST", "/", authority, "content-length", "3", "transfer-encoding", "chunked"),
		"transfer-encoding, odd":             head("POST", "/", authority, "transfer-encoding", "xchunked"),
		"connection":                         head("GET", "/", authority, "connection", "close, l5d-client-id"),
		"two lengths":                        head("POST", "/", authority, "content-length", "0", "content-length", "5"),
		"a length without a body":            head("POST", "/", authority, "content-length", "5"),
		"another te":                         head("GET", "/", authority, "te", "gzip"),
		"a line break in the path":           head("GET", "/ HTTP/1.1\r\nX-Evil: a\r\n\r\nGET /", authority),
		"a space in the path":                head("GET", "/ HTTP/1.1", authority),
		"a tab in the path":                  head("GET", "/\tHTTP/1.1", authority),
		"a fragment in the path":             head("GET", "/a#b", authority),
		"a path without a slash":             head("GET", "a", authority),
		"a path that is another host's URL":  head("GET", "http://evil.example/", authority),
		"a path that is only a scheme":       head("GET", "x:", authority),
		"a path that is an authority":        head("GET", "evil.example:80", authority),
		"an asterisk for GET":                head("GET", "*", authority),
		"an asterisk and more":               head("OPTIONS", "*/", authority),
		"an empty path":                      head("GET", "", authority),
		"a broken escape in the path":        head("GET", "/%zz", authority),
		"a space in the method":              head("GET /evil HTTP/1.1", "/", authority),
		"a line break in the method":         head("GET / HTTP/1.1\r\nX-Evil: a\r\n\r\nGET", "/", authority),
		"an empty method":                    head("", "/", authority),
		"a line break in the authority":      head("GET", "/", "a\r\nX-Evil: b"),
		"a space in the authority":           head("GET", "/", "a b"),
		"a slash in the authority":           head("GET", "/", "a/b"),
		"a user in the authority":            head("GET", "/", "user@host"),
		"letters beyond ASCII in the host":   head("GET", "/", "hôst"),
		"no authority":                       {":method", "GET", ":scheme", "http", ":path", "/", "l5d-orig-proto", "HTTP/1.1"},
		"two authorities":                    append(head("GET", "/", authority)[:8], ":authority", "evil", "l5d-orig-proto", "HTTP/1.1"),
		"two paths":                          {":method", "GET", ":scheme", "http", ":path", "/", ":path", "/evil", ":authority", authority},
		"an unknown pseudo-header":           {":method", "GET", ":scheme", "http", ":path", "/", ":evil", "/", ":authority", authority},
		"a pseudo-header after the others":   head("GET", "/", authority, "x", "y", ":path", "/evil"),
		"another scheme":                     {":method", "GET", ":scheme", "file", ":path", "/", ":authority", authority},
		"a bad escape in the form of a path": head("GET", "/%", authority),
	} {
		t.Run(name, func(t *testing.T) {
			addr, arrivals := recorderApp(t, plainAnswer)
			c := gatewayTo(t, addr).raw(t)
			c.send(frameHeaders, flagEndHeaders|flagEndStream, 1, fields(pairs...))
			f := c.until(frameHeaders, frameReset, frameGoAway)
			if f.kind == frameHeaders && f.status() != "400" {
				t.Errorf("answered with %+v", f)
			}
			if len(arrivals) > 0 {
				t.Errorf("the application got %q", (<-arrivals).line)
			}
		})
	}
}

// A length that does not match the body ends this request only, and the application does not take a
// part of one for the next: its connection is given up.
func TestLyingLengthsAreStopped(t *testing.T) {
	for name, c := range map[string]struct {
		length string
		body   string
	}{
		"too long":  {"10", "GET /evil HTTP/1.1\r\n\r\n"},
		"too short": {"100", "GET /evil HTTP/1.1\r\n\r\n"},
		"a lie":     {"abc", "GET /evil HTTP/1.1\r\n\r\n"},
		"negative":  {"-1", "GET /evil HTTP/1.1\r\n\r\n"},
		"a list":    {"22, 0", "GET /evil HTTP/1.1\r\n\r\n"},
		"empty":     {"", "GET /evil HTTP/1.1\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			addr, arrivals := recorderApp(t, plainAnswer)
			raw := gatewayTo(t, addr).raw(t)
			raw.send(frameHeaders, flagEndHeaders, 1, fields(":method", "POST", ":scheme", "http", ":path", "/", ":authority", authority,
				"l5d-orig-proto", "HTTP/1.1", "content-length", c.length))
			raw.send(frameData, flagEndStream, 1, []byte(c.body))
			if f := raw.until(frameHeaders, frameReset); f.kind == frameHeaders && f.status() != "400" {
				t.Errorf("answered with %+v", f)
			}
			// The same connection goes on.
			raw.send(frameHeaders, flagEndHeaders|flagEndStream, 3, fields(":method", "GET", ":scheme", "http", ":path", "/next",
				":authority", authority, "l5d-orig-proto", "HTTP/1.1"))
			for f := raw.until(frameHeaders, frameGoAway); ; f = raw.until(frameHeaders, frameGoAway) {
				if f.kind == frameGoAway {
					t.Fatalf("the connection ended: %+v", f)
				}
				if f.stream == 3 {
					break
				}
			}
			if got := within(t, arrivals, "the next request"); got.line != "GET /next HTTP/1.1" || len(got.body) > 0 {
				t.Errorf("the application got %q, body %q", got.line, got.body)
			}
		})
	}
}

func TestABodyThatBreaksOffHarmsNoOtherRequest(t *testing.T) {
	arrived, release, broken := make(chan struct{}, 1), make(chan struct{}), make(chan error, 100)
	addr := http1App(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			<-release
			return
		}
		_, err := io.Copy(w, r.Body)
		broken <- err
	})
	g := gatewayTo(t, addr)
	c := g.raw(t)
	c.send(frameHeaders, flagEndStream|flagEndHeaders, 1, head("/slow", "l5d-orig-proto", "HTTP/1.1"))
	within(t, arrived, "the slow request")
	const count = 10
	for i := range uint32(count) {
		c.send(frameHeaders, flagEndHeaders, 2*i+3, fields(":method", "POST", ":scheme", "http", ":path", "/", ":authority", authority,
			"l5d-orig-proto", "HTTP/1.1", "content-length", "10"))
		c.send(frameData, 0, 2*i+3, []byte("half"))
		if i%2 == 0 {
			c.send(frameReset, 0, 2*i+3, []byte{0, 0, 0, 8})
		} else {
			c.send(frameData, flagEndStream, 2*i+3, []byte("not"))
		}
	}
	for range count {
		select { // a request that is given up soon enough never gets to the application
		case err := <-broken:
			if err == nil {
				t.Error("the application got a whole body")
			}
		case <-time.After(100 * time.Millisecond):
		}
	}
	close(release)
	for f := c.until(frameHeaders, frameGoAway); f.stream != 1; f = c.until(frameHeaders, frameGoAway) {
		if f.status() != "400" {
			t.Fatalf("got %+v", f)
		}
	}
	c.Close()
	if got := g.ended(t); got.err != nil || got.result.Failed > 0 {
		t.Errorf("ended with %+v", got)
	}
}

// What an application answers fills no log either.
func TestALongAnswerMakesAShortLine(t *testing.T) {
	log := new(entries)
	addr := rawApp(t, func(conn net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: "+strings.Repeat("x", 40_000)+"\x1b[31m\r\n\r\n")
	})
	g := gatewayTo(t, addr, func(o *Options) { o.Log = log.logger() })
	if answer := do(t, g.client(t), upgraded(t, "GET", "/", nil)); answer.status != http.StatusBadGateway {
		t.Errorf("got %+v", answer)
	}
	lines := log.all()
	if len(lines) == 0 {
		t.Error("nothing was logged")
	}
	for _, line := range lines {
		if len(line) > 1500 || strings.Contains(line, `\x1b`) {
			t.Errorf("a line of %d bytes: %.300s", len(line), line)
		}
	}
}
