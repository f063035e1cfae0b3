package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// prefaceHex is "transport.l5d.io/v1", CR LF CR LF.
const prefaceHex = "7472616e73706f7274 2e 6c3564 2e 696f 2f 7631 0d0a0d0a "

// webHex is the name web.shop.svc.cluster.local, 26 bytes.
const webHex = "776562 2e 73686f70 2e 737663 2e 636c7573746572 2e 6c6f63616c "

// unhex reads bytes written by hand, with spaces where they help the reader.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// framed puts the preface and the length in front of a message, without help of the code under test.
func framed(t testing.TB, message []byte) []byte {
	t.Helper()
	n := len(message)
	return append(append(unhex(t, prefaceHex), byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), message...)
}

func reasonOf(t testing.TB, err error) wire.Reason {
	t.Helper()
	wireErr, ok := err.(*wire.Error) //nolint:errorlint // the type itself is promised, without a wrapping
	if !ok {
		t.Fatalf("got %T %v, want a *wire.Error", err, err)
	}
	// Two quotations of 64 bytes, each of which may need four, and the words between them.
	if text := err.Error(); len(text) > 2*4*64+250 || strings.ContainsAny(text, "\r\n\x00") {
		t.Errorf("the text of the error is not fit for a log: %q", text)
	}
	return wireErr.Reason
}

// Bytes written from the format and not from the code: the contract with Linkerd's proxies (GW-2).
func TestHeaderIsTheseBytes(t *testing.T) {
	cases := map[string]struct {
		header wire.Header
		bytes  string
	}{
		"a service, and opaque bytes": {
			wire.Header{Port: 80, Name: "web.shop.svc.cluster.local"},
			prefaceHex + "0000001e " + // 30 bytes
				"08 50 " + // port, varint 80
				"12 1a " + webHex, // name, 26 bytes
		},
		"a service, and HTTP/2": {
			wire.Header{Port: 8080, Name: "web.shop.svc.cluster.local", Protocol: wire.HTTP2},
			prefaceHex + "00000023 " + // 35 bytes
				"08 903f " + // port, 0x3f<<7 + 0x10
				"12 1a " + webHex +
				"1a 02 12 00", // session protocol of 2 bytes: http2, empty
		},
		"the gateway itself, and HTTP/1": {
			wire.Header{Port: 4143, Protocol: wire.HTTP1},
			prefaceHex + "00000007 " +
				"08 af20 " + // port, 0x20<<7 + 0x2f
				"1a 02 0a 00", // session protocol of 2 bytes: http1, empty
		},
		"the lowest port":  {wire.Header{Port: 1}, prefaceHex + "00000002 08 01"},
		"the highest port": {wire.Header{Port: 65535}, prefaceHex + "00000004 08 ffff03"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			want := unhex(t, tc.bytes)
			got, err := tc.header.Append([]byte("before"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(append([]byte("before"), want...), got); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
			header, err := wire.ReadHeader(bytes.NewReader(want))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.header, header); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAppendRefuses(t *testing.T) {
	cases := map[string]struct {
		header wire.Header
		want   wire.Reason
	}{
		"no port":                {wire.Header{Name: "web"}, wire.ReasonPort},
		"a name too long":        {wire.Header{Port: 1, Name: strings.Repeat("a", wire.MaxName+1)}, wire.ReasonName},
		"a name that is no text": {wire.Header{Port: 1, Name: "a\xffb"}, wire.ReasonName},
		"no such protocol":       {wire.Header{Port: 1, Protocol: 3}, wire.ReasonProtocol},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := tc.header.Append([]byte("before"))
			if reason := reasonOf(t, err); reason != tc.want {
				t.Errorf("reason %q, want %q", reason, tc.want)
			}
			if string(got) != "before" {
				t.Errorf("got %q, want what was there", got)
			}
		})
	}
}

// fragmented are readers that deliver the same bytes in other pieces.
var fragmented = map[string]func(io.Reader) io.Reader{
	"at once":                 func(r io.Reader) io.Reader { return r },
	"byte by byte":            iotest.OneByteReader,
	"in halves":               iotest.HalfReader,
	"with the end at the end": iotest.DataErrReader,
}

func TestReadHeaderTakesTheHeaderAndNothingElse(t *testing.T) {
	const stream = "the first bytes of the stream"
	want := wire.Header{Port: 80, Name: "web.shop.svc.cluster.local", Protocol: wire.HTTP2}
	data := framed(t, unhex(t, "08 50 12 1a "+webHex+"1a 02 12 00"))
	for name, fragment := range fragmented {
		t.Run(name, func(t *testing.T) {
			r := fragment(io.MultiReader(bytes.NewReader(data), strings.NewReader(stream)))
			got, err := wire.ReadHeader(r)
			if err != nil || got != want {
				t.Fatalf("got %+v, %v, want %+v", got, err, want)
			}
			if rest, err := io.ReadAll(r); string(rest) != stream || err != nil {
				t.Errorf("left of the stream: %q, %v", rest, err)
			}
		})
		t.Run(name+", then the end", func(t *testing.T) {
			if got, err := wire.ReadHeader(fragment(bytes.NewReader(data))); err != nil || got != want {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

// A health check of a load balancer connects and goes; it is no fault and must not look like one.
func TestReadHeaderGivesEOFAsItIsBeforeTheFirstByte(t *testing.T) {
	if _, err := wire.ReadHeader(strings.NewReader("")); err != io.EOF { //nolint:errorlint // as it is
		t.Errorf("got %v, want io.EOF", err)
	}
}

func TestReadHeaderBrokenOffAnywhere(t *testing.T) {
	data := framed(t, unhex(t, "08 50 12 1a "+webHex))
	for n := range data {
		if n > 0 {
			_, err := wire.ReadHeader(bytes.NewReader(data[:n]))
			if reason := reasonOf(t, err); reason != wire.ReasonTruncated || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("closed after %d bytes: %v", n, err)
			}
			wrapped := &wire.Error{Reason: "reader", Err: io.EOF}
			_, err = wire.ReadHeader(io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(wrapped)))
			if reason := reasonOf(t, err); reason != wire.ReasonTruncated {
				t.Errorf("closed with a wrapped end after %d bytes: %v", n, err)
			}
		}
		_, err := wire.ReadHeader(io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(os.ErrDeadlineExceeded)))
		if reason := reasonOf(t, err); reason != wire.ReasonRead || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("timed out after %d bytes: %v", n, err)
		}
	}
}

// noMore fails the test of whoever reads on after having seen enough.
type noMore struct{ t *testing.T }

func (r noMore) Read([]byte) (int, error) {
	r.t.Error("read on")
	return 0, io.EOF
}

// GW-12: fast rejection. A client that speaks something else may wait for an answer, and never send
// as much as a preface has.
func TestReadHeaderStopsAtTheFirstWrongByte(t *testing.T) {
	cases := map[string]struct {
		data string
		want wire.Reason
	}{
		"HTTP/1":                         {"GET / HTTP/1.1\r\n\r\n", wire.ReasonPreface},
		"HTTP/2":                         {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", wire.ReasonPreface},
		"TLS in TLS":                     {"\x16\x03\x01", wire.ReasonPreface},
		"one wrong byte":                 {"x", wire.ReasonPreface},
		"another word that begins alike": {"transfer", wire.ReasonPreface},
		"another version":                {"transport.l5d.io/v2", wire.ReasonPreface},
		"upper case":                     {"T", wire.ReasonPreface},
		"the last byte of the preface":   {"transport.l5d.io/v1\r\n\r\r", wire.ReasonPreface},
		"a message too long by one":      {"transport.l5d.io/v1\r\n\r\n\x00\x00\x04\x01", wire.ReasonTooLong},
		"a message of 4 GiB":             {"transport.l5d.io/v1\r\n\r\n\xff\xff\xff\xff", wire.ReasonTooLong},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for pieces, fragment := range fragmented {
				_, err := wire.ReadHeader(io.MultiReader(fragment(strings.NewReader(tc.data)), noMore{t}))
				if reason := reasonOf(t, err); reason != tc.want {
					t.Errorf("%s: reason %q, want %q: %v", pieces, reason, tc.want, err)
				}
			}
		})
	}
}

// In other protocols a password may come first.
func TestReadHeaderShowsNothingOfAnotherProtocol(t *testing.T) {
	_, err := wire.ReadHeader(strings.NewReader("AUTH hunter2\r\n"))
	if reasonOf(t, err); strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error shows what came: %v", err)
	}
}

func TestProtocolString(t *testing.T) {
	for p, want := range map[wire.Protocol]string{wire.Opaque: "opaque", wire.HTTP1: "http1", wire.HTTP2: "http2", 9: "unknown(9)"} {
		if got := p.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
