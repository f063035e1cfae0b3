package tunnel

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// headerBytes announce port 80 of "web", as package wire has it: a preface, a length, and protobuf.
var headerBytes = "transport.l5d.io/v1\r\n\r\n" + "\x00\x00\x00\x07" + "\x08\x50" + "\x12\x03web"

// speaker is an end that knows the lane protocol from its description only.
type speaker struct {
	*testing.T
	net.Conn
}

// says writes bytes that are given in hexadecimal, with text in quotes.
func (s speaker) says(what ...string) {
	s.Helper()
	for _, piece := range what {
		if _, err := s.Write(unhex(s.T, piece)); err != nil {
			s.Fatal(err)
		}
	}
}

// hears reads exactly these.
func (s speaker) hears(what ...string) {
	s.Helper()
	for _, piece := range what {
		want := unhex(s.T, piece)
		got := make([]byte, len(want))
		if n, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, want) {
			s.Fatalf("got % x, %v, want % x", got[:n], err, want)
		}
	}
}

func unhex(t *testing.T, piece string) []byte {
	t.Helper()
	if text, ok := strings.CutPrefix(piece, `"`); ok {
		return []byte(strings.TrimSuffix(text, `"`))
	}
	b, err := hex.DecodeString(strings.ReplaceAll(piece, " ", ""))
	must(t, err)
	return b
}

// speakTo is an egress.
func speakTo(t *testing.T, i *ingress) speaker {
	t.Helper()
	config, err := clientTLS(gatewayName, ALPNLane, wire.ALPN)
	must(t, err)
	conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", i.address().String())
	must(t, err)
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	t.Cleanup(func() { conn.Close() })
	return speaker{t, conn}
}

// speakAs is an ingress: it gives the connections that it gets.
func speakAs(t *testing.T, alpn string) (address netip.AddrPort, conns <-chan speaker) {
	t.Helper()
	must(t, papers().err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS(alpn))
	must(t, err)
	accepted := make(chan speaker, 10)
	var wg sync.WaitGroup
	var all []net.Conn // a connection that nobody knows any more is closed by the runtime, at some time
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all = append(all, conn)
			_ = conn.SetDeadline(time.Now().Add(patience))
			wg.Go(func() {
				if conn.(*tls.Conn).HandshakeContext(t.Context()) == nil {
					accepted <- speaker{t, conn}
				}
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		wg.Wait()
		close(accepted)
		for _, conn := range all {
			conn.Close()
		}
	})
	return listener.Addr().(*net.TCPAddr).AddrPort(), accepted
}

func TestAnIngressSpeaksTheLaneProtocolToTheByte(t *testing.T) {
	i := newIngress(t)
	s := speakTo(t, i)
	s.says(`"`+headerBytes+`"`, "00000005", `"hello"`)
	s.hears("00000005", `"hello"`)
	// A chunk may come in pieces, and its bytes go on before it is whole.
	s.says("0000", "0006", `"wor"`)
	s.hears("00000003", `"wor"`)
	s.says(`"ld!"`)
	s.hears("00000003", `"ld!"`)
	s.says("00000000")
	s.hears("00000000")
	// The next stream, in one write with its end.
	s.says(`"` + headerBytes + "\x00\x00\x00\x01" + "x" + "\x00\x00\x00\x00" + `"`)
	s.hears("00000001", `"x"`, "00000000")
	// A stream of nothing.
	s.says(`"`+headerBytes+`"`, "00000000")
	s.hears("00000000")
	// It drains, and accepts streams all the same.
	i.drain()
	s.hears("c0000000")
	s.says(`"`+headerBytes+`"`, "00000000")
	for {
		// It may repeat itself.
		var head [4]byte
		if _, err := io.ReadFull(s, head[:]); err != nil {
			t.Fatal(err)
		}
		if binary.BigEndian.Uint32(head[:]) == 0 {
			break
		}
		if binary.BigEndian.Uint32(head[:]) != 0xc0000000 {
			t.Fatalf("got % x", head)
		}
	}
}

func TestAnIngressRefusesToTheByte(t *testing.T) {
	i := newIngress(t, handling(func(in Incoming) {
		if in.Header.Port != 80 || in.Header.Name != "web" {
			t.Errorf("the header is %+v", in.Header)
		}
		in.Refuse(CodeDenied)
	}))
	s := speakTo(t, i)
	s.says(`"`+headerBytes+`"`, "00000005", `"hello"`)
	s.hears("80000003")
	end(t, s) // a close_notify: the lane ends
}

func TestAnIngressRefusesABadHeaderAndTells(t *testing.T) {
	i := newIngress(t)
	s := speakTo(t, i)
	s.says(`"GET / HTTP/1.1"`)
	s.hears("80000006")
	if err := soon(t, "the complaint", i.bad); !strings.Contains(err.Error(), "preface") {
		t.Error(err)
	}
}

// LESSON-53: what sends nothing is no error. Health checks connect, or shake hands, and go.
func TestAConnectionThatSendsNothingIsNoFault(t *testing.T) {
	for name, leave := range map[string]func(s speaker){
		"with a close_notify": func(s speaker) { s.Close() },
		"without one":         func(s speaker) { s.Conn.(*tls.Conn).NetConn().Close() },
		"by a reset": func(s speaker) {
			raw := s.Conn.(*tls.Conn).NetConn().(*net.TCPConn)
			must(s.T, raw.SetLinger(0))
			must(s.T, raw.Close())
		},
		"after one stream": func(s speaker) {
			s.says(`"`+headerBytes+`"`, "00000000")
			s.hears("00000000")
			s.Conn.(*tls.Conn).NetConn().Close()
		},
	} {
		for _, alpn := range [][]string{{ALPNLane}, linkerdALPN} {
			if name == "after one stream" && alpn[0] != ALPNLane {
				continue
			}
			t.Run(name+" by "+alpn[0], func(t *testing.T) {
				i := newIngress(t, speaking(alpn...))
				leave(speakTo(t, i))
				eventually(t, "the connection has ended", func() bool { return i.handshakes.Load() == 1 && i.open.Load() == 0 })
				if len(i.bad) > 0 {
					t.Error(<-i.bad)
				}
			})
		}
	}
}

// On Linkerd's wire a header has one time limit, of which nothing is given back when its first byte comes. A lane may be
// idle for long before that.
func TestTheLimitOfAHeaderBeginsOnce(t *testing.T) {
	for alpn, limits := range map[string]int{wire.ALPN: 1, ALPNLane: 3} { // on a lane also that of the next stream
		t.Run(alpn, func(t *testing.T) {
			near, far := tcpPair(t)
			raw := &counted{Conn: far}
			client, server := shakeFor(t, near, raw, alpn)
			var serving sync.WaitGroup
			serving.Go(func() {
				if err := Serve(t.Context(), server, newIngress(t).ServeOptions); err != nil {
					t.Error(err)
				}
			})
			write(t, client, headerBytes)
			if alpn == ALPNLane {
				write(t, client, "\x00\x00\x00\x00")
				read(t, client, "\x00\x00\x00\x00")
			}
			must(t, client.CloseWrite())
			serving.Wait()
			if n := raw.readLimits.Load(); n != int64(limits) {
				t.Errorf("it set a limit %d times, want %d", n, limits)
			}
		})
	}
}

// A header has a time limit as a whole, however slowly it comes (GW-12).
func TestAHeaderHasALimitOfTime(t *testing.T) {
	for _, w := range ways {
		t.Run(w.via, func(t *testing.T) {
			i := newIngress(t, speaking(w.alpn...), func(i *ingress) { i.HeaderTimeout = 100 * time.Millisecond })
			e := newEgress(t, w.options, Dependencies{}, i)
			roundTrip(t, e.dial(), nil)
			var slow net.Conn
			var err error
			switch w.via {
			case ViaMux:
				e.each(func(p *peer) {
					p.mu.Lock()
					defer p.mu.Unlock()
					slow, err = p.sessions[0].mux.Open(t.Context())
				})
			case ViaLane:
				slow = speakTo(t, i)
			default:
				config, configErr := clientTLS(gatewayName, w.alpn...)
				must(t, configErr)
				slow, err = (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", i.address().String())
			}
			must(t, err)
			defer slow.Close()
			var drip sync.WaitGroup
			defer drip.Wait()
			stop := make(chan struct{})
			defer close(stop)
			began := time.Now()
			drip.Go(func() {
				for _, b := range []byte(headerBytes) {
					if _, err := slow.Write([]byte{b}); err != nil {
						return
					}
					select {
					case <-stop:
						return
					case <-time.After(30 * time.Millisecond):
					}
				}
			})
			if err := soon(t, "the complaint", i.bad); !isTimeout(err) {
				t.Error(err)
			}
			if took := time.Since(began); took > 10*i.HeaderTimeout { // half of what the drip would take
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestAnEgressSpeaksTheLaneProtocolToTheByte(t *testing.T) {
	address, conns := speakAs(t, ALPNLane)
	e := newEgress(t, Options{}, Dependencies{}, &ingress{listener: fakeListener{address}})
	header, err := target.Append(nil)
	must(t, err)
	first := e.dial()
	gateway := soon(t, "the connection", conns)
	gateway.hears(`"` + string(header) + `"`)
	write(t, first, "hello")
	gateway.hears("00000005", `"hello"`)
	gateway.says("0000", "0003", `"yes"`, "00000002", `"no"`)
	read(t, first, "yesno")
	must(t, first.CloseWrite())
	gateway.hears("00000000")
	gateway.says("00000000")
	end(t, first)
	must(t, first.Close())
	second := e.dial()
	gateway.hears(`"` + string(header) + `"`)
	// No more streams, said more than once, in the middle of one.
	gateway.says("c0000000", "00000001", `"a"`, "c0000000", "c0000000", "00000001", `"b"`, "c0000000", "00000000")
	read(t, second, "ab")
	end(t, second)
	write(t, second, "it goes on")
	gateway.hears("0000000a", `"it goes on"`)
	must(t, second.CloseWrite())
	gateway.hears("00000000")
	must(t, second.Close())
	end(t, gateway) // the egress ends the lane
	e.dial().Abort()
	soon(t, "another connection", conns).hears(`"` + string(header) + `"`)
}

// fakeListener has an address only.
type fakeListener struct{ address netip.AddrPort }

func (f fakeListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (f fakeListener) Close() error              { return nil }
func (f fakeListener) Addr() net.Addr            { return net.TCPAddrFromAddrPort(f.address) }

func TestAnEgressBelievesAHostileGatewayNothing(t *testing.T) {
	address, conns := speakAs(t, ALPNLane)
	e := newEgress(t, Options{}, Dependencies{}, &ingress{listener: fakeListener{address}})
	for name, c := range map[string]struct {
		says  []string
		check func(err error) bool
	}{
		"a chunk that is too long":     {[]string{"0000bffd"}, func(err error) bool { return errors.Is(err, errProtocol) }},
		"the longest length":           {[]string{"7fffffff"}, func(err error) bool { return errors.Is(err, errProtocol) }},
		"an unknown control":           {[]string{"ffffffff"}, func(err error) bool { return errors.Is(err, errProtocol) }},
		"a go-away with something":     {[]string{"c0000001"}, func(err error) bool { return errors.Is(err, errProtocol) }},
		"a refusal of a code too long": {[]string{"80010000"}, func(err error) bool { return errors.Is(err, errProtocol) }},
		"a refusal of an unknown code": {[]string{"8000ffff"}, func(err error) bool {
			refused, ok := errors.AsType[*RefusedError](err)
			return ok && refused.Code == 0xffff && refused.Code.String() == "other"
		}},
		"a refusal in the middle": {[]string{"00000001", `"x"`, "80000003"}, func(err error) bool {
			_, ok := errors.AsType[*RefusedError](err)
			return ok
		}},
		"go-aways, and then a cut": {[]string{strings.Repeat("c0000000", 5000)}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"a close_notify":           {nil, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"one in a head":            {[]string{"000000"}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"one in a chunk":           {[]string{"00000005", `"hell"`}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"one behind a chunk":       {[]string{"00000005", `"hello"`}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := e.dial()
			gateway := soon(t, "the connection", conns)
			gateway.says(c.says...)
			must(t, gateway.Conn.(*tls.Conn).CloseWrite())
			_, err := io.Copy(io.Discard, s)
			if err == nil || !c.check(err) {
				t.Errorf("got %v", err)
			}
			if _, again := s.Read(make([]byte, 1)); again == nil || ended(again) {
				t.Errorf("the next Read gives %v", again)
			}
			must(t, s.CloseWrite())
			must(t, s.Close())
			if c := e.count(); c.lanes != 0 {
				t.Error("the lane would be used again")
			}
		})
	}
}

// A lane with something on it that no stream asked for has no next stream.
func TestALaneOnWhichSomethingCameIsNotUsedAgain(t *testing.T) {
	for name, say := range map[string]func(s speaker){
		"a byte":       func(s speaker) { s.says("00") },
		"a go-away":    func(s speaker) { s.says("c0000000") },
		"its end":      func(s speaker) { s.Close() },
		"a cut":        func(s speaker) { s.Conn.(*tls.Conn).NetConn().Close() },
		"an end later": func(s speaker) { must(s.T, s.Conn.(*tls.Conn).CloseWrite()) },
	} {
		t.Run(name, func(t *testing.T) {
			address, conns := speakAs(t, ALPNLane)
			e := newEgress(t, Options{}, Dependencies{}, &ingress{listener: fakeListener{address}})
			s := e.dial()
			gateway := soon(t, "the connection", conns)
			gateway.says("00000000")
			must(t, s.CloseWrite())
			end(t, s)
			must(t, s.Close())
			say(gateway)
			e.eventually("the lane is gone", func() bool { return e.count() == counts{} })
			s = e.dial()
			soon(t, "another connection", conns)
			must(t, s.Close())
		})
	}
}

// A go-away that came together with the end of a stream waits in TLS, where nobody looks while the lane is idle. So an ingress
// repeats it.
func TestAGoAwayIsRepeatedUntilTheLaneEnds(t *testing.T) {
	t.Run("by the ingress", func(t *testing.T) {
		t.Parallel()
		i := newIngress(t)
		s := speakTo(t, i)
		s.says(`"`+headerBytes+`"`, "00000000")
		s.hears("00000000")
		i.drain()
		s.hears("c0000000", "c0000000")
	})
	t.Run("as the egress sees it", func(t *testing.T) {
		address, conns := speakAs(t, ALPNLane)
		e := newEgress(t, Options{}, Dependencies{}, &ingress{listener: fakeListener{address}})
		s := e.dial()
		gateway := soon(t, "the connection", conns)
		gateway.says("00000000 c0000000")
		must(t, s.CloseWrite())
		end(t, s)
		must(t, s.Close())
		e.tidy()
		if c := e.count(); c != (counts{lanes: 1, idle: 1}) {
			t.Errorf("counted is %+v", c)
		}
		gateway.says("c0000000")
		e.eventually("the lane ends", func() bool { return e.count() == counts{} })
	})
}

// stutter is a reader that gives a few bytes at a time, and sometimes a timeout.
type stutter struct {
	from  io.Reader
	sizes []byte
	turn  int
}

func (s *stutter) Read(p []byte) (int, error) {
	if len(s.sizes) == 0 {
		return s.from.Read(p)
	}
	size := int(s.sizes[s.turn%len(s.sizes)])
	s.turn++
	if size == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return s.from.Read(p[:min(len(p), size)])
}

// expected is what the doc says of some bytes, read another way: the payload, whether it ended, and how much was looked at.
func expected(b []byte) (payload []byte, complete bool, used int) {
	rest := b
	for len(rest) >= 4 {
		v := binary.BigEndian.Uint32(rest)
		rest = rest[4:]
		switch {
		case v == 0:
			return payload, true, len(b) - len(rest)
		case v == 0xc0000000:
			continue
		case v > 49148:
			return payload, false, len(b) - len(rest)
		}
		n := min(int(v), len(rest))
		payload = append(payload, rest[:n]...)
		rest = rest[n:]
		if n < int(v) {
			break
		}
	}
	return payload, false, len(b)
}

func FuzzChunkReader(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x05hello\x00\x00\x00\x00next"), []byte{3})
	f.Add([]byte("\xc0\x00\x00\x00\x00\x00\x00\x01x\xc0\x00\x00\x00\x00\x00\x00\x00"), []byte{1, 0, 2})
	f.Add([]byte("\x80\x00\x00\x03"), []byte{})
	f.Add([]byte("\x00\x00\xbf\xfd"), []byte{200})
	f.Add(append([]byte("\x00\x00\xbf\xfc"), make([]byte, 49148+4)...), []byte{255, 0})
	f.Fuzz(func(t *testing.T, b, sizes []byte) {
		if len(sizes) > 16 || len(sizes) > 0 && slices.Max(sizes) == 0 {
			return // it would take long to come to an end, or for ever
		}
		in := bytes.NewReader(b)
		c := &chunkReader{from: &stutter{from: in, sizes: sizes}}
		var got []byte
		var err error
		for buf := make([]byte, 100); err == nil || errors.Is(err, os.ErrDeadlineExceeded); {
			var n int
			n, err = c.Read(buf)
			got = append(got, buf[:n]...)
		}
		payload, complete, used := expected(b)
		if !bytes.Equal(got, payload) || ended(err) != complete {
			t.Errorf("got %d bytes and %v, want %d bytes and an end %v", len(got), err, len(payload), complete)
		}
		if len(b)-in.Len() != used {
			t.Errorf("it looked at %d bytes instead of %d", len(b)-in.Len(), used)
		}
		if _, again := c.Read(make([]byte, 1)); ended(again) != complete {
			t.Errorf("the next Read gives %v", again)
		}
	})
}
