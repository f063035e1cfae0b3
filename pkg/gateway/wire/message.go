package wire

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Fields of the messages. Header has a port, a name and a session protocol; a session protocol is one
// of http1 and http2; and those two messages have no fields.
const (
	fieldPort            = 1
	fieldName            = 2
	fieldSessionProtocol = 3

	fieldHTTP1 = 1
	fieldHTTP2 = 2
)

// maxField is the highest number that a protobuf field can have.
const maxField = 1<<29 - 1

// wireType is how the value of a protobuf field is delimited: the lowest three bits of its tag.
type wireType uint8

// The other three are the two ends of a group, which proto3 does not have, and 6 and 7, which mean nothing.
const (
	typeVarint  wireType = 0
	typeFixed64 wireType = 1
	typeBytes   wireType = 2
	typeFixed32 wireType = 5
)

// appendMessage adds the protobuf of a header that was checked.
func (h Header) appendMessage(b []byte) []byte {
	b = appendTag(b, fieldPort, typeVarint)
	b = binary.AppendUvarint(b, uint64(h.Port))
	if h.Name != "" {
		b = appendTag(b, fieldName, typeBytes)
		b = binary.AppendUvarint(b, uint64(len(h.Name)))
		b = append(b, h.Name...)
	}
	switch h.Protocol {
	case HTTP1:
		b = appendSession(b, fieldHTTP1)
	case HTTP2:
		b = appendSession(b, fieldHTTP2)
	}
	return b
}

// appendSession adds a session protocol that holds one empty message.
func appendSession(b []byte, kind int) []byte {
	inner := append(appendTag(nil, kind, typeBytes), 0)
	b = appendTag(b, fieldSessionProtocol, typeBytes)
	b = append(b, byte(len(inner)))
	return append(b, inner...)
}

func appendTag(b []byte, number int, t wireType) []byte {
	return binary.AppendUvarint(b, uint64(number)<<3|uint64(t))
}

// parseMessage decodes a header by the rules of proto3: of a field that comes twice the last counts,
// messages are merged, unknown fields are skipped. A known field of another wire type is refused, as
// Linkerd's proxy does.
func parseMessage(message []byte) (Header, error) {
	var h Header
	var port int32
	err := eachField(message, func(f field) error {
		switch f.number {
		case fieldPort:
			// A varint that is too large for the type is cut, as protobuf has it; negative ones have ten bytes.
			port = int32(uint32(f.value))
			return f.want(typeVarint)
		case fieldName:
			h.Name = string(f.bytes)
			if err := f.want(typeBytes); err != nil {
				return err
			}
			return checkName(f.bytes)
		case fieldSessionProtocol:
			if err := f.want(typeBytes); err != nil {
				return err
			}
			return parseSession(f.bytes, &h.Protocol)
		}
		return nil
	})
	if err == nil {
		err = checkPort(port)
	}
	if err != nil {
		return Header{}, err
	}
	h.Port = uint16(port)
	return h, nil
}

// parseSession merges a session protocol into p. Without a kind that we know p stays as it is.
func parseSession(message []byte, p *Protocol) error {
	return eachField(message, func(f field) error {
		switch f.number {
		case fieldHTTP1:
			*p = HTTP1
		case fieldHTTP2:
			*p = HTTP2
		default:
			return nil
		}
		if err := f.want(typeBytes); err != nil {
			return err
		}
		return eachField(f.bytes, func(field) error { return nil })
	})
}

// field is one field of a message. Only the value that belongs to its type is set.
type field struct {
	number int
	typ    wireType
	value  uint64 // of a varint
	bytes  []byte // of typeBytes; part of the message
}

// want refuses another type than t.
func (f field) want(t wireType) error {
	if f.typ != t {
		return malformed("field %d has wire type %d, must be %d", f.number, f.typ, t)
	}
	return nil
}

// eachField calls do for each field of a message, in order, until one fails.
func eachField(message []byte, do func(field) error) error {
	for len(message) > 0 {
		f, rest, err := cutField(message)
		if err != nil {
			return err
		}
		if err := do(f); err != nil {
			return err
		}
		message = rest
	}
	return nil
}

// cutField takes the first field off a message that is not empty.
func cutField(message []byte) (field, []byte, error) {
	tag, rest, err := cutVarint(message)
	if err != nil {
		return field{}, nil, err
	}
	if tag > math.MaxUint32 || tag>>3 == 0 {
		return field{}, nil, malformed("field number %d, must be 1 to %d", tag>>3, maxField)
	}
	f := field{number: int(tag >> 3), typ: wireType(tag & 7)}
	switch f.typ {
	case typeVarint:
		f.value, rest, err = cutVarint(rest)
	case typeFixed64:
		_, rest, err = cutBytes(rest, 8)
	case typeFixed32:
		_, rest, err = cutBytes(rest, 4)
	case typeBytes:
		var size uint64
		if size, rest, err = cutVarint(rest); err == nil {
			f.bytes, rest, err = cutBytes(rest, size)
		}
	default:
		err = malformed("field %d has wire type %d, which proto3 does not have", f.number, f.typ)
	}
	return f, rest, err
}

func cutVarint(b []byte) (uint64, []byte, error) {
	value, n := binary.Uvarint(b)
	switch {
	case n == 0:
		return 0, nil, malformed("the message ends in the middle of a number")
	case n < 0:
		return 0, nil, malformed("a number has more than 64 bits")
	default:
		return value, b[n:], nil
	}
}

func cutBytes(b []byte, size uint64) (taken, rest []byte, err error) {
	if size > uint64(len(b)) {
		return nil, nil, malformed("a field of %d bytes, %d are left", size, len(b))
	}
	return b[:size], b[size:], nil
}

func malformed(format string, args ...any) error {
	return &Error{ReasonMalformed, fmt.Errorf(format, args...)}
}
