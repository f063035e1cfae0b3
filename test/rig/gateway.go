package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// readHeaderTimeout bounds what a client may take to ask.
const readHeaderTimeout = 10 * time.Second

// Gateway is an HTTP server that stands in for a gateway's probe port, or for a workload. It answers
// every path alike, and can be told to fail in the ways that probes tell apart.
type Gateway struct {
	address string
	body    string

	mu       sync.Mutex
	status   int
	hang     bool
	released chan struct{} // closed when hanging ends
	requests int
	server   *http.Server
	served   chan struct{} // closed when server has ended
}

// NewGateway listens on an address, such as 203.0.113.9:4191, and answers 200 with a body.
func NewGateway(address, body string) (*Gateway, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("start a gateway: %w", err)
	}
	g := &Gateway{address: listener.Addr().String(), body: body, status: http.StatusOK, released: make(chan struct{})}
	g.serve(listener)
	return g, nil
}

// Address is where the gateway listens.
func (g *Gateway) Address() string { return g.address }

// Requests is how many requests have come so far.
func (g *Gateway) Requests() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.requests
}

// Answer sets the status of answers from now on, and ends Hang.
func (g *Gateway) Answer(status int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status = status
	g.release()
}

// Hang takes requests and never answers them, until Answer or Down.
func (g *Gateway) Hang() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hang = true
}

// Down closes the port and all connections: new ones are refused.
func (g *Gateway) Down() error {
	g.mu.Lock()
	server, served := g.server, g.served
	g.server = nil
	g.release()
	g.mu.Unlock()
	if server == nil {
		return nil
	}
	err := server.Close()
	<-served
	return err
}

// Up ends Down.
func (g *Gateway) Up() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.server != nil {
		return nil
	}
	listener, err := net.Listen("tcp", g.address)
	if err != nil {
		return fmt.Errorf("open the gateway's port again: %w", err)
	}
	g.serve(listener)
	return nil
}

// Close ends the gateway.
func (g *Gateway) Close() error { return g.Down() }

func (g *Gateway) release() {
	if g.hang {
		g.hang = false
		close(g.released)
		g.released = make(chan struct{})
	}
}

func (g *Gateway) serve(listener net.Listener) {
	server := &http.Server{Handler: http.HandlerFunc(g.handle), ReadHeaderTimeout: readHeaderTimeout}
	served := make(chan struct{})
	g.server, g.served = server, served
	go func() {
		defer close(served)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			complain("gateway on %s: %v", g.address, err)
		}
	}()
}

func (g *Gateway) handle(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.requests++
	hang, released := g.hang, g.released
	g.mu.Unlock()
	if hang {
		wait(r.Context(), released)
	}
	g.mu.Lock()
	status := g.status
	g.mu.Unlock()
	w.WriteHeader(status)
	// A client that went away needs no body.
	_, _ = io.WriteString(w, g.body)
}

func wait(ctx context.Context, released <-chan struct{}) {
	select {
	case <-released:
	case <-ctx.Done():
	}
}
