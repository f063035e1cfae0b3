package talk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

const (
	// method is the one that there is: rpc Echo(stream google.protobuf.BytesValue) returns (stream google.protobuf.BytesValue).
	method = "/linkspan.app.Talk/Echo"
	// grpcType is the content type of both directions.
	grpcType = "application/grpc"
	// The trailers of every answer.
	statusTrailer  = "Grpc-Status"
	messageTrailer = "Grpc-Message"
	// prefixSize is what is before each message: a byte that says whether it is compressed, and its length.
	prefixSize = 5
	// mostMessage is what gRPC takes unless told otherwise.
	mostMessage = 4 << 20
	// Statuses of gRPC.
	statusOK            = 0
	statusInvalid       = 3
	statusUnimplemented = 12
)

// GRPCHandler serves a bidirectional stream that echoes its messages.
func GRPCHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+method, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			http.Error(w, "gRPC needs HTTP/2", http.StatusHTTPVersionNotSupported)
			return
		}
		grpcHeader(w)
		out := http.NewResponseController(w)
		err := out.Flush() // the client may wait for the header before it says anything
		if err == nil {
			err = echoMessages(w, out, r.Body)
		}
		finishGRPC(w, err)
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, _ *http.Request) {
		grpcHeader(w)
		w.Header().Set(statusTrailer, strconv.Itoa(statusUnimplemented))
		w.Header().Set(messageTrailer, "there is "+method+" only")
	})
	return mux
}

func grpcHeader(w http.ResponseWriter) {
	w.Header().Set("Content-Type", grpcType)
	w.Header().Add("Trailer", statusTrailer)
	w.Header().Add("Trailer", messageTrailer)
}

func finishGRPC(w http.ResponseWriter, err error) {
	if err == nil {
		w.Header().Set(statusTrailer, strconv.Itoa(statusOK))
		return
	}
	w.Header().Set(statusTrailer, strconv.Itoa(statusInvalid))
	w.Header().Set(messageTrailer, err.Error())
}

func echoMessages(w io.Writer, out *http.ResponseController, from io.Reader) error {
	for {
		message, err := readMessage(from)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := writeMessage(w, message); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return fmt.Errorf("sending a message: %w", err)
		}
	}
}

// readMessage gives the next message as it is, or io.EOF where the stream ends well.
func readMessage(from io.Reader) ([]byte, error) {
	var prefix [prefixSize]byte
	if _, err := io.ReadFull(from, prefix[:]); errors.Is(err, io.EOF) {
		return nil, io.EOF
	} else if err != nil {
		return nil, fmt.Errorf("reading before a message: %w", err)
	}
	size := binary.BigEndian.Uint32(prefix[1:])
	if prefix[0] != 0 || size > mostMessage {
		return nil, fmt.Errorf("a message is compressed (%d) or too long (%d bytes)", prefix[0], size)
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(from, message); err != nil {
		return nil, fmt.Errorf("reading a message: %w", noEnd(err))
	}
	return message, nil
}

// noEnd is for where the end of the stream is none of a message.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func writeMessage(to io.Writer, message []byte) error {
	text := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))) //nolint:gosec // at most mostMessage
	if _, err := to.Write(append(text, message...)); err != nil {
		return fmt.Errorf("writing a message: %w", err)
	}
	return nil
}

// wrapBytes makes a google.protobuf.BytesValue of bytes: field 1, of a length.
func wrapBytes(value []byte) []byte {
	const fieldOne = 1<<3 | 2
	return append(binary.AppendUvarint([]byte{fieldOne}, uint64(len(value))), value...)
}
