package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// proxyBuffer is small, so that a mode takes effect soon.
const proxyBuffer = 16 << 10

// Proxy is a TCP proxy that can be told to misbehave. It stands before an API server or a gateway.
type Proxy struct {
	address string
	target  string
	ctx     context.Context //nolint:containedctx // the proxy's life, not a call's
	cancel  context.CancelFunc
	workers sync.WaitGroup

	mu       sync.Mutex
	mode     proxyMode
	changed  chan struct{} // closed when mode changes
	listener net.Listener  // nil while refusing
	conns    map[net.Conn]struct{}
}

type proxyMode struct {
	blackhole bool
	latency   time.Duration
}

// NewProxy listens on an address, such as 198.51.100.1:0, and passes connections to target.
func NewProxy(address, target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("start a proxy to %s: %w", target, err)
	}
	return ServeProxy(listener, target), nil
}

// ServeProxy passes the connections of a listener, such as one of Isolated.Listeners, to target.
// The listener belongs to the proxy from here on.
func ServeProxy(listener net.Listener, target string) *Proxy {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{
		address: listener.Addr().String(),
		target:  target,
		ctx:     ctx,
		cancel:  cancel,
		changed: make(chan struct{}),
		conns:   map[net.Conn]struct{}{},
	}
	p.listen(listener)
	return p
}

// Proxy starts a proxy before the API server, on an address that its certificate names. Put Proxy.URL
// into a kubeconfig with Server.
func (c *Cluster) Proxy() (*Proxy, error) {
	return NewProxy(net.JoinHostPort(c.address, "0"), c.Address())
}

// Address is where the proxy listens.
func (p *Proxy) Address() string { return p.address }

// URL is Address as an API server's URL.
func (p *Proxy) URL() string { return "https://" + p.address }

// Pass works as a proxy should. Connections that were held go on.
func (p *Proxy) Pass() error { return p.set(proxyMode{}) }

// Latency delays every piece of data in both directions.
func (p *Proxy) Latency(delay time.Duration) error { return p.set(proxyMode{latency: delay}) }

// Blackhole accepts connections and passes nothing on, in old connections as well.
func (p *Proxy) Blackhole() error { return p.set(proxyMode{blackhole: true}) }

// Refuse closes the port and cuts all connections.
func (p *Proxy) Refuse() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return nil
	}
	err := p.listener.Close()
	p.listener = nil
	p.cut()
	p.become(proxyMode{}) // lets go of what a black hole held, to find its connections closed
	return err
}

// Cut closes the connections there are now. New ones are served.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut()
}

func (p *Proxy) cut() {
	for conn := range p.conns {
		// Reset rather than close, as a dying machine's firewall would. Both may fail on a connection
		// that is gone already.
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
	clear(p.conns)
}

// Close ends the proxy and waits until it is gone.
func (p *Proxy) Close() error {
	p.cancel()
	err := p.Refuse()
	p.workers.Wait()
	return err
}

func (p *Proxy) set(mode proxyMode) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return errors.New("the proxy is closed")
	}
	p.become(mode)
	if p.listener != nil {
		return nil
	}
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		return fmt.Errorf("open the proxy's port again: %w", err)
	}
	p.listen(listener)
	return nil
}

func (p *Proxy) become(mode proxyMode) {
	p.mode = mode
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) listen(listener net.Listener) {
	p.listener = listener
	p.workers.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed by Refuse or Close
			}
			p.workers.Go(func() { p.serve(conn) })
		}
	})
}

// serve copies both ways until either side ends.
func (p *Proxy) serve(conn net.Conn) {
	if !p.track(conn) || !p.gate() {
		p.forget(conn)
		return
	}
	dialer := net.Dialer{}
	target, err := dialer.DialContext(p.ctx, "tcp", p.target)
	if err != nil || !p.track(target) {
		p.forget(conn)
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.copy(target, conn) })
	both.Go(func() { p.copy(conn, target) })
	both.Wait()
	p.forget(conn)
	p.forget(target)
}

// copy passes data on as the mode allows, and the end of it: half-closed connections stay half open.
func (p *Proxy) copy(to, from net.Conn) {
	buffer := make([]byte, proxyBuffer)
	for {
		n, readErr := from.Read(buffer)
		if !p.gate() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				p.forget(from) // wakes the other direction
				return
			}
		}
		if errors.Is(readErr, io.EOF) {
			if tcp, ok := to.(*net.TCPConn); ok {
				_ = tcp.CloseWrite() // fails when it is closed, which is as good
			}
			return
		}
		if readErr != nil {
			p.forget(to)
			return
		}
	}
}

// gate waits as the mode says, and is false when the proxy was closed meanwhile.
func (p *Proxy) gate() bool {
	for {
		p.mu.Lock()
		mode, changed := p.mode, p.changed
		p.mu.Unlock()
		if !mode.blackhole {
			return p.delay(mode.latency)
		}
		select {
		case <-changed:
		case <-p.ctx.Done():
			return false
		}
	}
}

func (p *Proxy) delay(latency time.Duration) bool {
	if latency == 0 {
		return p.ctx.Err() == nil
	}
	timer := time.NewTimer(latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}

// track remembers a connection; false, and closed, when the proxy refuses connections by now.
func (p *Proxy) track(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		_ = conn.Close() // nobody holds the other end of it that matters
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *Proxy) forget(conn net.Conn) {
	p.mu.Lock()
	delete(p.conns, conn)
	p.mu.Unlock()
	_ = conn.Close() // often closed already
}
