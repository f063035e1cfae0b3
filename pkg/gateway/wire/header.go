package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// ALPN is the protocol of Linkerd's transport header: one TLS connection for each stream.
const ALPN = "transport.l5d.io/v1"

// ALPNMux is our own protocol, spoken by our egress and ingress: several streams on one TLS connection.
const ALPNMux = "mux.linkspan.io/v1"

const (
	// preface is what a client writes first.
	preface = ALPN + "\r\n\r\n"
	// sizeLen is the length of the message's length, a big-endian uint32.
	sizeLen = 4
)

// MaxMessage is the longest message, in bytes, that ReadHeader accepts. The longest that Append makes
// has less than a third of it; the rest is for fields of later versions of the protocol. A client that
// has proven nothing yet cannot make us hold more.
const MaxMessage = 1024

// MaxName is the longest name in bytes: a DNS name of 253, and a label with its dot in front.
const MaxName = 253 + 64

// Protocol says what the bytes behind the header are.
type Protocol uint8

// Protocols of a stream. Opaque is the zero value, as it is the absence of a protocol on the wire.
const (
	// Opaque bytes are carried as they are.
	Opaque Protocol = iota
	// HTTP1 is plain HTTP/1.
	HTTP1
	// HTTP2 is an HTTP/2 connection with prior knowledge.
	HTTP2
)

// String is a word fit for a log or the label of a metric.
func (p Protocol) String() string {
	switch p {
	case Opaque:
		return "opaque"
	case HTTP1:
		return "http1"
	case HTTP2:
		return "http2"
	default:
		return "unknown(" + strconv.Itoa(int(p)) + ")"
	}
}

// Header announces a stream.
type Header struct {
	// Port is the port of the target Service, never 0.
	Port uint16
	// Name is the target, such as web.shop.svc.cluster.local, at most MaxName bytes of UTF-8. Any text
	// can be here: ParseTarget says what it names. Empty stands for the gateway itself.
	Name string
	// Protocol is what follows the header.
	Protocol Protocol
}

// Append adds the header's bytes to b. Fields that have their default are left out, as proto3 has it.
// An Error with ReasonPort, ReasonName or ReasonProtocol says that the header has no encoding; b is
// then returned as it was.
func (h Header) Append(b []byte) ([]byte, error) {
	if err := checkPort(int32(h.Port)); err != nil {
		return b, err
	}
	if err := checkName([]byte(h.Name)); err != nil {
		return b, err
	}
	if h.Protocol > HTTP2 {
		return b, &Error{ReasonProtocol, fmt.Errorf("protocol %v cannot be written, use Opaque, HTTP1 or HTTP2", h.Protocol)}
	}
	b = append(b, preface...)
	start := len(b) + sizeLen
	b = append(b, make([]byte, sizeLen)...)
	b = h.appendMessage(b)
	binary.BigEndian.PutUint32(b[start-sizeLen:], uint32(len(b)-start))
	return b, nil
}

// ReadHeader reads a header, and not one byte more.
//
// A reader that ends before the first byte gives io.EOF as it is: a health check, or a connection that
// was opened and not used. Every other error is an *Error; if the reader failed, or ended too early,
// its own error is wrapped (io.ErrUnexpectedEOF for the end).
func ReadHeader(r io.Reader) (Header, error) {
	size, err := readPreface(r)
	if err != nil {
		return Header{}, err
	}
	if size > MaxMessage {
		return Header{}, &Error{ReasonTooLong, fmt.Errorf("message of %d bytes, at most %d are accepted", size, MaxMessage)}
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(r, message); err != nil {
		return Header{}, readError("message", err)
	}
	return parseMessage(message)
}

// readPreface reads the preface and gives the length of the message behind it. Bytes are compared as
// they come, so that a client that speaks something else is turned away at once, and not only when it
// has sent enough of it.
func readPreface(r io.Reader) (uint32, error) {
	const length = len(preface) + sizeLen
	buf := make([]byte, length)
	for n := 0; n < length; {
		more, err := io.ReadAtLeast(r, buf[n:], 1)
		switch {
		case err == io.EOF && n == 0:
			return 0, io.EOF
		case err != nil:
			return 0, readError("preface", err)
		}
		n += more
		seen := min(n, len(preface))
		if !bytes.Equal(buf[:seen], []byte(preface[:seen])) {
			// What came is not shown: in another protocol the first bytes may be a password.
			return 0, &Error{ReasonPreface, fmt.Errorf("what came does not begin with %q: the client speaks another protocol", preface)}
		}
	}
	return binary.BigEndian.Uint32(buf[len(preface):]), nil
}

// readError tells a connection that was closed in the middle from a reader that failed.
func readError(part string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{ReasonTruncated, fmt.Errorf("closed in the %s of the header: %w", part, io.ErrUnexpectedEOF)}
	}
	return &Error{ReasonRead, fmt.Errorf("reading the %s of the header: %w", part, err)}
}

// checkPort takes an int32 because that is what the message has.
func checkPort(port int32) error {
	if port < 1 || port > 65535 {
		return &Error{ReasonPort, fmt.Errorf("port %d, must be 1 to 65535", port)}
	}
	return nil
}

func checkName(name []byte) error {
	switch {
	case len(name) > MaxName:
		return &Error{ReasonName, fmt.Errorf("name of %d bytes, at most %d are accepted", len(name), MaxName)}
	case !utf8.Valid(name):
		return &Error{ReasonName, fmt.Errorf("name %s is not UTF-8", quote(string(name)))}
	default:
		return nil
	}
}
