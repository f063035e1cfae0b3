package translate

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// stall is a StallTimeout for tests that wait for it.
const stall = 200 * time.Millisecond

func stalling(o *Options) { o.Limits.StallTimeout = stall }

func head(path string, more ...string) []byte {
	return fields(append([]string{":method", "GET", ":scheme", "http", ":path", path, ":authority", authority}, more...)...)
}

func TestWhatIsNotHTTP2Ends(t *testing.T) {
	addr := http2App(t, func(http.ResponseWriter, *http.Request) {})
	for name, c := range map[string]struct {
		say  string
		hang bool
		want error
	}{
		"HTTP/1":                     {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true, ErrNotHTTP2},
		"a TLS hello":                {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaaaaaa", true, ErrNotHTTP2},
		"a preface that breaks off":  {"PRI * HTTP/2.0\r\n", false, ErrNotHTTP2},
		"nothing, closed":            {"", false, nil},
		"nothing, but stays":         {"", true, ErrStalled},
		"half of a preface and then": {"PRI * HTTP/2.0\r\n", true, ErrStalled},
	} {
		t.Run(name, func(t *testing.T) {
			g := gatewayTo(t, addr, stalling)
			conn := g.connect(t)
			if _, err := io.WriteString(conn, c.say); err != nil {
				t.Fatal(err)
			}
			if !c.hang {
				conn.Close()
			}
			if got := g.ended(t); !errors.Is(got.err, c.want) || got.result != (Result{}) {
				t.Errorf("got %+v, want %v", got, c.want)
			}
		})
	}
}

func TestAClientThatStallsIsCutOff(t *testing.T) {
	addr := http2App(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/endless" {
			for chunk := bytes.Repeat([]byte("x"), 1<<20); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}
		<-r.Context().Done()
	})
	for name, do := range map[string]func(*rawClient){
		"within a header block": func(c *rawClient) { c.send(frameHeaders, flagEndStream, 1, head("/wait")) },
		"within a frame": func(c *rawClient) {
			_, _ = c.Write([]byte{0, 1, 0, frameHeaders})
		},
		"while its request runs":     func(c *rawClient) { c.send(frameHeaders, flagEndStream|flagEndHeaders, 1, head("/wait")) },
		"within the body it sends":   func(c *rawClient) { c.send(frameHeaders, flagEndHeaders, 1, head("/wait")) },
		"between requests":           func(*rawClient) {},
		"instead of reading answers": func(c *rawClient) { c.askForFlood() },
		"talking, but not reading": func(c *rawClient) {
			c.askForFlood()
			for c.trySend(framePing, 0, 0, make([]byte, 8)) == nil {
				<-time.After(stall / 10)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := gatewayTo(t, addr, stalling)
			began := time.Now()
			do(g.raw(t))
			if got := g.ended(t); !errors.Is(got.err, ErrStalled) {
				t.Errorf("got %+v", got)
			}
			if took := time.Since(began); took > patience/2 {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// askForFlood opens all windows wide, asks for more than the kernel buffers, and reads none of it.
func (c *rawClient) askForFlood() {
	const frameWindowUpdate, settingWindow = 0x8, 0x4
	c.send(frameSettings, 0, 0, []byte{0, settingWindow, 0x7f, 0xff, 0xff, 0xff})
	c.send(frameWindowUpdate, 0, 0, []byte{0x7f, 0, 0, 0})
	c.send(frameHeaders, flagEndStream|flagEndHeaders, 1, head("/endless"))
}

// A client that answers pings may be as quiet as it likes.
func TestAQuietClientIsKept(t *testing.T) {
	release := make(chan struct{})
	addr := http2App(t, func(http.ResponseWriter, *http.Request) { <-release })
	g := gatewayTo(t, addr, stalling)
	answered := make(chan error, 1)
	client := g.client(t)
	go func() {
		answer, err := client.Do(newRequest(t, "GET", "/", nil))
		if err == nil {
			answer.Body.Close()
		}
		answered <- err
	}()
	select {
	case <-time.After(5 * stall):
		close(release)
	case err := <-answered:
		t.Errorf("ended early: %v", err)
		close(release)
		return
	}
	if err := within(t, answered, "the answer"); err != nil {
		t.Error(err)
	}
}

func TestAnIdleConnectionIsClosedInGoodOrder(t *testing.T) {
	addr := http2App(t, func(http.ResponseWriter, *http.Request) {})
	g := gatewayTo(t, addr, func(o *Options) { o.Limits.IdleTimeout = 50 * time.Millisecond })
	c := g.raw(t)
	c.send(frameHeaders, flagEndStream|flagEndHeaders, 1, head("/"))
	c.until(frameHeaders)
	if f := c.until(frameGoAway); !bytes.Equal(f.payload[4:8], make([]byte, 4)) {
		t.Errorf("GOAWAY with error: %v", f.payload)
	}
	c.Close()
	if got := g.ended(t); got.err != nil || got.result.Requests != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestHeadersHaveALimit(t *testing.T) {
	reached := make(chan struct{}, 1000)
	addr := http2App(t, func(http.ResponseWriter, *http.Request) { reached <- struct{}{} })
	g := gatewayTo(t, addr)
	many := head("/")
	for range defaultMaxHeaderBytes / 1000 {
		many = append(many, fields("x-big", strings.Repeat("x", 1000))...)
	}
	for name, block := range map[string][]byte{
		"a field above it":           append(head("/"), fields("x-big", strings.Repeat("x", defaultMaxHeaderBytes+1))...),
		"a path above it":            head("/" + strings.Repeat("x", defaultMaxHeaderBytes)),
		"fields that add up to more": many,
	} {
		t.Run(name+" is refused, and the connection goes on", func(t *testing.T) {
			c := g.raw(t)
			c.sendHead(1, block)
			if f := c.until(frameData, frameReset, frameGoAway); !strings.Contains(string(f.payload), "longer than 65536 bytes") {
				t.Errorf("got %+v", f)
			}
			c.sendHead(3, head("/"))
			if f := c.until(frameHeaders, frameReset, frameGoAway); f.status() != "200" {
				t.Errorf("got %+v", f)
			}
		})
	}
	t.Run("a megabyte ends the connection, without being read to its end", func(t *testing.T) {
		c := g.raw(t)
		c.sendHead(1, append(head("/"), fields("x-big", strings.Repeat("x", 1<<20))...))
		for {
			f, err := c.next()
			if err != nil || f.kind == frameGoAway {
				break
			}
			if f.kind == frameHeaders {
				t.Errorf("it was answered: %+v", f)
			}
		}
	})
	t.Run("what is below it passes", func(t *testing.T) {
		do(t, g.client(t), newRequest(t, "GET", "/", nil, "x-big", strings.Repeat("x", defaultMaxHeaderBytes*3/4)))
	})
	if len(reached) != 4 {
		t.Errorf("%d requests reached the application", len(reached))
	}
}

// sendHead sends a header block in as many frames as it takes, as long as the server listens.
func (c *rawClient) sendHead(stream uint32, block []byte) {
	for kind, flags := byte(frameHeaders), byte(flagEndStream); ; kind, flags = frameContinuation, 0 {
		n := min(len(block), 16<<10)
		if n == len(block) {
			flags |= flagEndHeaders
		}
		err := c.trySend(kind, flags, stream, block[:n])
		if block = block[n:]; err != nil || len(block) == 0 {
			return
		}
	}
}

func TestRequestsHaveALimit(t *testing.T) {
	release := make(chan struct{})
	var running, most atomic.Int32
	addr := http2App(t, func(http.ResponseWriter, *http.Request) {
		most.Store(max(most.Load(), running.Add(1)))
		<-release
		running.Add(-1)
	})
	c := gatewayTo(t, addr, func(o *Options) { o.Limits.MaxStreams = 3 }).raw(t)
	c.send(frameSettings, 1, 0, nil) // the limit is known
	for i := range uint32(5) {
		c.send(frameHeaders, flagEndStream|flagEndHeaders, 2*i+1, head("/"))
	}
	for _, stream := range []uint32{7, 9} {
		if f := c.until(frameReset, frameHeaders, frameGoAway); f.kind != frameReset || f.stream != stream {
			t.Errorf("got %+v, want a reset of stream %d", f, stream)
		}
	}
	close(release)
	for range 3 {
		if f := c.until(frameReset, frameHeaders, frameGoAway); f.status() != "200" {
			t.Errorf("got %+v", f)
		}
	}
	if most.Load() > 3 {
		t.Errorf("%d requests ran at once", most.Load())
	}
}

// A client that resets what it asks for, as fast as it can, leaves nothing running.
func TestResetsAddUpToNothing(t *testing.T) {
	var running atomic.Int32
	addr := http2App(t, func(_ http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Add(-1)
		<-r.Context().Done()
	})
	g := gatewayTo(t, addr, func(o *Options) { o.Limits.MaxStreams = 10 })
	c := g.raw(t)
	for i := range uint32(2000) {
		if c.trySend(frameHeaders, flagEndStream|flagEndHeaders, 2*i+1, head("/")) != nil ||
			c.trySend(frameReset, 0, 2*i+1, []byte{0, 0, 0, 8}) != nil {
			break // the server has had enough of it
		}
	}
	c.Close()
	if got := g.ended(t); got.err != nil || got.result.Failed > 0 {
		t.Errorf("got %+v", got)
	}
	eventually(t, "all requests at the application to end", func() bool { return running.Load() == 0 })
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for timeout := time.After(patience); !condition(); {
		select {
		case <-again.C:
		case <-timeout:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// One request whose application does not read leaves room for the others.
func TestAnUploadThatNobodyReadsDoesNotStopOthers(t *testing.T) {
	app := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/deaf" {
			<-r.Context().Done()
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n)
	}
	addr := serverApp(t, app, func(s *http.Server) {
		s.Protocols.SetUnencryptedHTTP2(true)
		// The application has room for all of them: it is the gateway's that is asked for.
		s.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerConnection: 3 << 20, MaxReceiveBufferPerStream: 64 << 10}
	})
	client := gatewayTo(t, addr).client(t)
	do(t, client, newRequest(t, "GET", "/", nil))
	ctx, cancel := context.WithCancel(t.Context())
	var deaf sync.WaitGroup
	defer deaf.Wait()
	defer cancel()
	for range 3 {
		deaf.Go(func() {
			r := newRequest(t, "POST", "/deaf", io.LimitReader(zeros{}, 64<<20)).WithContext(ctx)
			if answer, err := client.Do(r); err == nil {
				answer.Body.Close()
			}
		})
	}
	const size = 8 << 20
	if answer := do(t, client, newRequest(t, "POST", "/", io.LimitReader(zeros{}, size))); answer.body != fmt.Sprint(size) {
		t.Errorf("got %+v", answer)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestServeDrains(t *testing.T) {
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	addr := http2App(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		_, _ = io.WriteString(w, "whole")
	})
	g := gatewayTo(t, addr)
	c := g.raw(t)
	c.send(frameHeaders, flagEndStream|flagEndHeaders, 1, head("/"))
	within(t, arrived, "the request")
	g.stop()
	goAway := c.until(frameGoAway, frameHeaders, frameReset)
	if goAway.kind != frameGoAway || !bytes.Equal(goAway.payload[:8], []byte{0, 0, 0, 1, 0, 0, 0, 0}) {
		t.Fatalf("got %+v, want GOAWAY after stream 1 without an error", goAway)
	}
	c.send(frameHeaders, flagEndStream|flagEndHeaders, 3, head("/too-late"))
	close(release)
	if f := c.until(frameHeaders, frameReset); f.stream != 1 || f.status() != "200" {
		t.Errorf("got %+v", f)
	}
	if f := c.until(frameData, frameReset); string(f.payload) != "whole" {
		t.Errorf("got %+v", f)
	}
	if got := g.ended(t); got.err != nil || got.result != (Result{Requests: 1}) {
		t.Errorf("got %+v", got)
	}
}

func TestServeCutsWhatDoesNotDrain(t *testing.T) {
	arrived, gone := make(chan struct{}, 1), make(chan struct{}, 1)
	addr := http1App(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
	})
	g := gatewayTo(t, addr, func(o *Options) { o.Limits.DrainTimeout = 50 * time.Millisecond })
	c := g.raw(t)
	c.send(frameHeaders, flagEndStream|flagEndHeaders, 1, head("/", "l5d-orig-proto", "HTTP/1.1"))
	within(t, arrived, "the request")
	g.stop()
	if got := g.ended(t); !errors.Is(got.err, ErrCut) || got.result != (Result{Requests: 1}) {
		t.Errorf("got %+v", got)
	}
	within(t, gone, "the application to hear of it")
}

func TestServeEndsAtOnceWhenNothingHasBegun(t *testing.T) {
	g := gatewayTo(t, "", func(o *Options) { o.Limits.DrainTimeout = time.Hour })
	g.connect(t)
	g.stop()
	if got := g.ended(t); got.err != nil {
		t.Errorf("got %+v", got)
	}
}

// Serve leaves nothing behind: not a connection, not an attempt at one (LESSON-60).
func TestServeClosesWhatItOpened(t *testing.T) {
	for name, c := range map[string]struct {
		app  func(testing.TB, http.HandlerFunc) string
		more []string
	}{
		"HTTP/1.1": {http1App, []string{"l5d-orig-proto", "HTTP/1.1"}},
		"HTTP/2":   {http2App, nil},
	} {
		var open atomic.Int32
		arrived := make(chan struct{}, 1000)
		g := gatewayTo(t, c.app(t, func(_ http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			if r.URL.Path == "/wait" {
				<-r.Context().Done()
			}
		}), func(o *Options) {
			dial := o.Dial
			o.Dial = func(ctx context.Context) (net.Conn, error) {
				conn, err := dial(ctx)
				if err != nil {
					return nil, err
				}
				open.Add(1)
				return &countedConn{Conn: conn, open: &open}, nil
			}
		})
		for _, path := range []string{"/", "/wait"} {
			t.Run("connections of "+name+" after requests for "+path, func(t *testing.T) {
				for range 20 {
					raw := g.raw(t)
					for stream := uint32(1); stream < 20; stream += 2 {
						raw.send(frameHeaders, flagEndStream|flagEndHeaders, stream, head(path, c.more...))
						within(t, arrived, "the request")
					}
					raw.Close()
					if g.ended(t); open.Load() != 0 {
						t.Fatalf("%d are open still", open.Load())
					}
				}
			})
		}
	}
	t.Run("a connection that came too late", func(t *testing.T) {
		var open atomic.Int32
		started := make(chan struct{}, 1)
		addr := rawApp(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
		g := gatewayTo(t, addr, func(o *Options) {
			dial := o.Dial
			o.Dial = func(ctx context.Context) (net.Conn, error) {
				started <- struct{}{}
				<-ctx.Done()
				conn, err := dial(context.WithoutCancel(ctx))
				if err != nil {
					return nil, err
				}
				open.Add(1)
				return &countedConn{Conn: conn, open: &open}, nil
			}
		})
		c := g.raw(t)
		c.send(frameHeaders, flagEndStream|flagEndHeaders, 1, head("/"))
		within(t, started, "the attempt")
		c.Close()
		if g.ended(t); open.Load() != 0 {
			t.Error("it is open still")
		}
	})
	t.Run("attempts to connect", func(t *testing.T) {
		var dialling atomic.Int32
		started := make(chan struct{}, 1)
		g := gatewayTo(t, "", func(o *Options) {
			o.Limits.ConnectTimeout = time.Hour
			o.Dial = func(ctx context.Context) (net.Conn, error) {
				dialling.Add(1)
				defer dialling.Add(-1)
				started <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}
		})
		c := g.raw(t)
		c.send(frameHeaders, flagEndStream|flagEndHeaders, 1, head("/"))
		within(t, started, "the attempt")
		c.send(frameReset, 0, 1, []byte{0, 0, 0, 8})
		c.Close()
		if got := g.ended(t); dialling.Load() != 0 || got.result != (Result{Requests: 1}) {
			t.Errorf("%d attempts go on, %+v", dialling.Load(), got)
		}
	})
}

type countedConn struct {
	net.Conn
	open *atomic.Int32
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

func TestASessionEndsAfterItsRequests(t *testing.T) {
	s := new(session)
	if !s.begin() {
		t.Fatal("it takes no request")
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		s.finish()
	}()
	eventually(t, "it to take no more requests", func() bool {
		if !s.begin() {
			return true
		}
		s.running.Done()
		return false
	})
	select {
	case <-finished:
		t.Error("it ended with a request running")
	case <-time.After(50 * time.Millisecond):
	}
	s.running.Done()
	within(t, finished, "the end")
}

// The gateway hands over the TLS connection itself, whose ALPN is no business of this package.
func TestServeTakesATLSConnection(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	const alpn = "transport.l5d.io/v1"
	server := &tls.Config{NextProtos: []string{alpn}, Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
	addr := http1App(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })

	near, far := net.Pipe()
	ended := make(chan outcome, 1)
	go func() {
		result, err := Serve(t.Context(), tls.Server(far, server), Options{
			Dial:   func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", addr) },
			Client: clientID, Gateway: gatewayID,
		})
		ended <- outcome{result, err}
	}()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{
		Protocols: &protocols,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			//nolint:gosec // nothing is verified here
			return tls.Client(near, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}}), nil
		},
	}}
	if answer := do(t, client, upgraded(t, "GET", "/", nil)); answer.body != "hello" {
		t.Errorf("got %+v", answer)
	}
	near.Close()
	client.CloseIdleConnections()
	if got := within(t, ended, "the end"); got.result.Requests != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestTheLogIsForWhoLooksClosely(t *testing.T) {
	log := new(entries)
	addr := http2App(t, func(http.ResponseWriter, *http.Request) {})
	g := gatewayTo(t, addr, func(o *Options) { o.Log = log.logger() })
	c := g.raw(t)
	c.send(frameHeaders, flagEndStream|flagEndHeaders, 2, head("/")) // an even number: none of a client's
	c.until(frameGoAway)
	if got := g.ended(t); got.err != nil {
		t.Errorf("got %+v", got)
	}
	lines := log.all()
	if len(lines) == 0 {
		t.Error("nothing was logged")
	}
	for _, line := range lines {
		if !strings.Contains(line, `"level"=1`) {
			t.Errorf("logged at another level: %s", line)
		}
	}
}
