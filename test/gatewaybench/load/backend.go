package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Sizes of the protocol, in bytes.
const (
	requestSize = 100
	answerSize  = 200
	// blockSize is how much is written or read at a time where there is no end.
	blockSize = 256 << 10
)

// What a client asks for.
const (
	modeAnswer = 'r'
	modeStream = 'b'
	modeTake   = 'u'
	modeEcho   = 'e'
	modeHold   = 'i'
)

// Backend is the application at the far end.
type Backend struct {
	listener *net.TCPListener
	block    []byte // what streams are made of; never changed

	mu     sync.Mutex
	open   map[*net.TCPConn]struct{}
	closed bool
}

// Listen makes a backend that listens on address.
func Listen(ctx context.Context, address string) (*Backend, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // nobody here speaks it, and it costs
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for streams: %w", err)
	}
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		_ = listener.Close()
		return nil, fmt.Errorf("listening on %s gave a %T", address, listener)
	}
	return &Backend{listener: tcp, block: make([]byte, blockSize), open: map[*net.TCPConn]struct{}{}}, nil
}

// Addr is where it listens.
func (b *Backend) Addr() string { return b.listener.Addr().String() }

// Serve serves streams until ctx ends, and returns when none is open. It is for one call.
func (b *Backend) Serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, b.close)()
	var streams sync.WaitGroup
	defer streams.Wait()
	for {
		conn, err := b.listener.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			b.close()
			return fmt.Errorf("accepting a stream: %w", err)
		case !b.add(conn):
			_ = conn.Close()
			return nil
		}
		streams.Go(func() {
			defer b.remove(conn)
			_ = b.serve(conn) // whatever ended it is for the client to notice
		})
	}
}

// close ends everything.
func (b *Backend) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	_ = b.listener.Close()
	for conn := range b.open {
		_ = conn.Close()
	}
}

func (b *Backend) add(conn *net.TCPConn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.open[conn] = struct{}{}
	}
	return !b.closed
}

func (b *Backend) remove(conn *net.TCPConn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, conn)
	_ = conn.Close()
}

// serve serves one stream.
func (b *Backend) serve(conn *net.TCPConn) error {
	var request [requestSize]byte
	_, err := io.ReadFull(conn, request[:])
	if err != nil {
		return err
	}
	switch request[0] {
	case modeAnswer:
		_, err = conn.Write(b.block[:answerSize])
	case modeStream:
		for err == nil {
			_, err = conn.Write(b.block)
		}
	case modeTake:
		taken := make([]byte, blockSize)
		for err == nil {
			_, err = conn.Read(taken)
		}
	case modeEcho:
		err = echo(conn)
	case modeHold:
		if _, err = conn.Write(b.block[:1]); err == nil {
			_, err = conn.Read(request[:1])
		}
	}
	return err
}

func echo(conn *net.TCPConn) error {
	var message [answerSize]byte
	for {
		if _, err := io.ReadFull(conn, message[:]); err != nil {
			return err
		}
		if _, err := conn.Write(message[:]); err != nil {
			return err
		}
	}
}
