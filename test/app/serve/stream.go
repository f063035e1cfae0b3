package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"golang.org/x/sync/errgroup"
)

// TCP hands each connection to a goroutine of its own until the context ends, and closes it thereafter. Then it drains:
// it accepts for the time of --drain, waits for open connections for a while, and closes the others.
func TCP(ctx context.Context, o Options, handle func(net.Conn) error) error {
	return beside(ctx, o, func(ctx context.Context) error { return tcp(ctx, o, handle) })
}

// beside serves the readiness of a server that does not speak HTTP, for as long as the server. Each ends with the other.
func beside(ctx context.Context, o Options, run func(context.Context) error) error {
	if o.ReadyListen == "" {
		return run(ctx)
	}
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return run(ctx) })
	both.Go(func() error {
		readiness := o
		readiness.Name, readiness.Listen = o.Name+"'s readiness", o.ReadyListen
		return HTTP(ctx, readiness, nil, http.NotFoundHandler())
	})
	return both.Wait() //nolint:wrapcheck // both say what they were doing
}

func tcp(ctx context.Context, o Options, handle func(net.Conn) error) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listening at --listen=%s: %w", o.Listen, err)
	}
	o.say("listens at %s", listener.Addr())
	all := &connections{open: map[net.Conn]struct{}{}}
	ended := make(chan error, 1)
	go func() { ended <- all.accept(listener, o, handle) }()
	select {
	case err := <-ended:
		all.end(ctx)
		return fmt.Errorf("accepting at %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	o.drain()
	if err := listener.Close(); err != nil {
		return fmt.Errorf("closing the listener: %w", err)
	}
	err = <-ended
	all.end(ctx)
	return closed(err)
}

// connections are those that are open.
type connections struct {
	workers sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{}
}

func (c *connections) accept(listener net.Listener, o Options, handle func(net.Conn) error) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err //nolint:wrapcheck // the caller says what was being done
		}
		c.mu.Lock()
		c.open[conn] = struct{}{}
		c.mu.Unlock()
		c.workers.Go(func() {
			defer c.forget(conn)
			if err := handle(conn); err != nil {
				o.say("served %s until %v", conn.RemoteAddr(), err)
			}
		})
	}
}

func (c *connections) forget(conn net.Conn) {
	_ = conn.Close() // its end has been told already
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

// end waits for the open connections, and closes those that take too long.
func (c *connections) end(ctx context.Context) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	defer context.AfterFunc(late, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for conn := range c.open {
			_ = conn.Close() // its handler says what came of it
		}
	})()
	c.workers.Wait()
}

// UDP hands each packet to the function, one after the other, and sends what it returns back to where the packet came
// from, until the context ends and the time of --drain is over.
func UDP(ctx context.Context, o Options, answer func(packet []byte) []byte) error {
	return beside(ctx, o, func(ctx context.Context) error { return udp(ctx, o, answer) })
}

func udp(ctx context.Context, o Options, answer func(packet []byte) []byte) error {
	socket, err := new(net.ListenConfig).ListenPacket(ctx, "udp", o.Listen)
	if err != nil {
		return fmt.Errorf("listening at --listen=%s: %w", o.Listen, err)
	}
	o.say("listens at %s", socket.LocalAddr())
	ended := make(chan error, 1)
	go func() { ended <- packets(socket, answer) }()
	select {
	case err := <-ended:
		return errors.Join(fmt.Errorf("reading packets at %s: %w", socket.LocalAddr(), err), socket.Close())
	case <-ctx.Done():
	}
	o.drain()
	if err := socket.Close(); err != nil {
		return fmt.Errorf("closing the socket: %w", err)
	}
	return closed(<-ended)
}

// closed is for what ends because it was closed.
func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serving: %w", err)
}

func packets(socket net.PacketConn, answer func([]byte) []byte) error {
	buffer := make([]byte, 64<<10) // no packet is longer
	for {
		n, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return err //nolint:wrapcheck // the caller says what was being done
		}
		// A packet that cannot be sent is lost, as packets are: whoever waits for it counts.
		_, _ = socket.WriteTo(answer(buffer[:n]), from)
	}
}
