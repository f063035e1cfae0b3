package ingress

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// The issue: reads the header with hard limits of size and time.
func TestABadHeaderIsRefusedBeforeAnythingIsDialed(t *testing.T) {
	t.Parallel()
	claiming := func(size uint32) []byte {
		return binary.BigEndian.AppendUint32([]byte("transport.l5d.io/v1\r\n\r\n"), size)
	}
	whole := header(echoName, 80, opaque)
	for _, c := range []struct {
		name, reason string
		bytes        []byte
	}{
		{"another protocol", "preface", []byte("GET / HTTP/1.1\r\n\r\n")},
		{"another version of it", "preface", []byte("transport.l5d.io/v2\r\n\r\n\x00\x00\x00\x00")},
		{"a message of 1 025 bytes", "too_long", append(claiming(1025), make([]byte, 1025)...)},
		{"a message of four gigabytes", "too_long", claiming(0xFFFFFFFF)},
		{"a message that is none", "malformed", append(claiming(3), 0xFF, 0xFF, 0xFF)},
		{"no port", "port", append(claiming(6), "\x12\x04web."...)},
		{"port 65536", "port", header(echoName, 65536, opaque)},
		{"a name of 1 100 bytes", "too_long", header(strings.Repeat("a", 1100), 80, opaque)},
		{"a name of 400 bytes", "name", header(strings.Repeat("a", 400), 80, opaque)},
		{"a name that is not UTF-8", "name", header("\xff\xfe.shop.svc.cluster.local", 80, opaque)},
		{"closed in the preface", "truncated", whole[:10]},
		{"closed in the message", "truncated", whole[:len(whole)-3]},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachWay(t, func(t *testing.T, w way) {
				g := startGateway(t, Options{})
				g.serveEcho()
				s := w.begin(t, g.secure(g.credentials(webClient), w.alpn), c.bytes)
				if c.reason == "truncated" {
					endBare(t, s)
				} else {
					w.expectRefused(t, s, 6)
				}
				line := g.expectEnd(1, stream.Failed, c.reason)
				if line.Client != webClient || line.Via != w.name || line.Error == "" {
					t.Errorf("the access log says %+v", line)
				}
				if !strings.Contains(g.log.text(), "Stream failed") {
					t.Error("the log says nothing")
				}
				if asked := g.network.asked(); len(asked) > 0 {
					t.Errorf("dialed %q", asked)
				}
			})
		})
	}
}

// endBare ends our direction where no chunk has begun yet.
func endBare(t testing.TB, s far) {
	t.Helper()
	var err error
	if lane, ok := s.(*farLane); ok {
		err = lane.conn.CloseWrite()
	} else {
		err = s.CloseWrite()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestASlowHeaderIsGivenUp(t *testing.T) {
	t.Parallel()
	rest := header(strings.Repeat("a", 200), 80, opaque)[1:]
	for _, c := range []struct {
		name string
		send func(io.Writer) error
	}{
		{"the first byte", func(io.Writer) error { return nil }},
		{"half of it", func(w io.Writer) error {
			_, err := w.Write(rest[:30])
			return err
		}},
		{"a byte now and then", func(w io.Writer) error { return drip(w, rest) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachWay(t, func(t *testing.T, w way) {
				g := startGateway(t, Options{HeaderTimeout: 200 * time.Millisecond})
				config := g.credentials(webClient)
				took := measured(func() {
					conn := g.secure(config, w.alpn)
					s := w.begin(t, conn, []byte("t"))
					raw := io.Writer(conn)
					if _, ok := s.(farMux); ok {
						raw = s
					}
					if c.send(raw) == nil { // else the cut was seen already
						expectCut(t, s)
					}
				})
				if took < 150*time.Millisecond || took > patience/2 {
					t.Errorf("given up after %v", took)
				}
				g.expectEnd(1, stream.Failed, stream.ReasonTimeout)
			})
		})
	}
}

// A client that is slow but in time is served: the limit is one of time, not of packets.
func TestAHeaderMayComeByteByByte(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	g.serveEcho()
	conn := g.secure(g.credentials(webClient), alpnLinkerd)
	for _, b := range header(echoName, 80, opaque) {
		if _, err := conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	say(t, conn, "hello")
	finish(t, conn)
	g.expectEnd(1, stream.Done, "")
}

func TestDataMayComeTogetherWithTheHeader(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	g.serveEcho()
	conn := g.secure(g.credentials(webClient), alpnLinkerd)
	data := bytes.Repeat([]byte("x"), 5000)
	if _, err := conn.Write(append(header(echoName, 80, opaque), data...)); err != nil {
		t.Fatal(err)
	}
	expectText(t, conn, string(data))
	finish(t, conn)
}

// Nobody who is authenticated and silent holds anything for longer than the header's time.
func TestASilentClientIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, w := range ways()[:2] {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			g := startGateway(t, Options{HeaderTimeout: 100 * time.Millisecond})
			conn := g.secure(g.credentials(webClient), w.alpn)
			took := measured(func() { _, _ = io.Copy(io.Discard, conn) })
			if took > patience/2 {
				t.Errorf("given up after %v", took)
			}
			g.waitFor("the connection to end", func() bool { return g.metric("linkspan_gateway_open_connections") == 0 })
		})
	}
}
