package wire_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// What is written is read again, and the stream behind it stays where it is.
func FuzzHeaderRoundTrip(f *testing.F) {
	f.Add(uint16(80), "web.shop.svc.cluster.local", uint8(0), []byte("GET /"))
	f.Add(uint16(4143), "", uint8(1), []byte(nil))
	f.Add(uint16(65535), strings.Repeat("é", 158), uint8(2), []byte("PRI * HTTP/2.0"))
	f.Add(uint16(0), "a", uint8(0), []byte{0})
	f.Add(uint16(1), "\xff", uint8(3), []byte{0})
	f.Fuzz(func(t *testing.T, port uint16, name string, protocol uint8, stream []byte) {
		h := wire.Header{Port: port, Name: name, Protocol: wire.Protocol(protocol)}
		b, err := h.Append(nil)
		possible := port > 0 && len(name) <= wire.MaxName && utf8.ValidString(name) && protocol <= 2
		if (err == nil) != possible {
			t.Fatalf("%+v: %v", h, err)
		}
		if err != nil {
			return
		}
		r := bytes.NewReader(append(b, stream...))
		got, err := wire.ReadHeader(r)
		if err != nil || got != h {
			t.Fatalf("got %+v, %v, want %+v", got, err, h)
		}
		if rest, err := io.ReadAll(r); !bytes.Equal(rest, stream) || err != nil {
			t.Errorf("left of the stream: %q, %v, want %q", rest, err, stream)
		}
	})
}

// Whatever comes, a header is taken exactly or refused, in bounded memory, in one piece or in many.
func FuzzReadHeader(f *testing.F) {
	for _, message := range []string{
		"", "08 50", "08 50 12 1a " + webHex + "1a 02 12 00", "08 50 1a 04 0a 00 12 00", "0a 01 50", "08 50 23 24",
		"08 ffffffffffffffffff01", "20 01 29 0102030405060708 32 02 0851 3d 08510851 08 50", "08 50 12 ffffffffffffffffff01",
	} {
		data := framed(f, unhex(f, message))
		f.Add(data)
		f.Add(append(data, "the stream"...))
		f.Add(data[:len(data)/2])
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("transport.l5d.io/v1\r\n\r\n\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const front = 23 + 4
		r := bytes.NewReader(data)
		h, err := wire.ReadHeader(r)
		read := len(data) - r.Len()
		if read > front+wire.MaxMessage {
			t.Errorf("read %d bytes", read)
		}
		slow, slowErr := wire.ReadHeader(iotest.OneByteReader(bytes.NewReader(data)))
		if slow != h || (slowErr == nil) != (err == nil) {
			t.Errorf("byte by byte: %+v, %v, at once: %+v, %v", slow, slowErr, h, err)
		}
		if err != nil {
			checkRefusal(t, data, err)
			return
		}
		if want := front + int(binary.BigEndian.Uint32(data[23:])); read != want {
			t.Errorf("read %d bytes, the header has %d", read, want)
		}
		b, err := h.Append(nil)
		if err != nil {
			t.Fatalf("%+v was read, and cannot be written: %v", h, err)
		}
		if again, err := wire.ReadHeader(bytes.NewReader(b)); err != nil || again != h {
			t.Errorf("got %+v, %v, want %+v", again, err, h)
		}
	})
}

func checkRefusal(t *testing.T, data []byte, err error) {
	t.Helper()
	if len(data) == 0 {
		if err != io.EOF { //nolint:errorlint // as it is
			t.Errorf("nothing came: %v", err)
		}
		return
	}
	switch reason := reasonOf(t, err); reason {
	case wire.ReasonTruncated, wire.ReasonPreface, wire.ReasonTooLong, wire.ReasonMalformed, wire.ReasonPort, wire.ReasonName:
	default:
		t.Errorf("reason %q: %v", reason, err)
	}
}

// A target has one spelling: its parts and the domain give back the name, and are what Kubernetes has as names.
func FuzzParseTarget(f *testing.F) {
	for _, name := range []string{
		"web.shop.svc.cluster.local", "db-0.db.shop.svc.cluster.local", "svc.svc.svc.svc.svc", "web.shop.svc.cluster.local.",
		"", ".svc.", "Web.shop.svc.cluster.local", "web..svc.cluster.local", "a\x00.b.svc.cluster.local", "-.b.svc.cluster.local",
	} {
		for _, domain := range []string{"cluster.local", "svc", "local", "", "."} {
			f.Add(name, domain)
		}
	}
	label := regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	f.Fuzz(func(t *testing.T, name, domain string) {
		got, err := wire.ParseTarget(name, domain)
		// The same rules once more, as one expression.
		inside, inDomain := strings.CutSuffix(name, ".svc."+domain)
		labels := strings.Split(inside, ".")
		ok := inDomain && len(name) <= 253 && (len(labels) == 2 || len(labels) == 3)
		for _, l := range append(labels, strings.Split(domain, ".")...) {
			ok = ok && label.MatchString(l)
		}
		if (err == nil) != ok {
			t.Fatalf("%q in %q: %v", name, domain, err)
		}
		if err != nil {
			if reason := reasonOf(t, err); reason != wire.ReasonTarget && reason != wire.ReasonDomain {
				t.Errorf("reason %q: %v", reason, err)
			}
			return
		}
		if text := got.String() + "." + domain; text != name {
			t.Errorf("%+v gives %q, want %q", got, text, name)
		}
		if (got.Hostname != "") != (len(labels) == 3) {
			t.Errorf("%q has the hostname %q", name, got.Hostname)
		}
	})
}
