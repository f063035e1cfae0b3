package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// Waiting before a port that could not be opened is tried again. It may be in use by a connection of another process
// in this pod: Linux takes their local ports from net.ipv4.ip_local_port_range, by default 32768 to 60999, and keeps
// them for a minute after the end. Our own set SO_REUSEADDR.
const (
	firstListen   = 100 * time.Millisecond
	longestListen = 10 * time.Second
)

// A mirror that leads elsewhere now, pod to pod, is led here for a moment still: the egress hears of the change sooner than
// the last kube-proxy. Its ports stay open for this time, as long as the mirror is there. The service mirror gives nobody
// else a port within it (--egress-port-hold).
const (
	linger = 10 * time.Second
	// mostLingering keeps somebody who turns mirrors to and fro from having any number of ports open.
	mostLingering = 1000
)

// clientKeepAlive finds clients that have vanished, in a minute and a half at most; package pipe finds those sooner that
// something is on its way to. A stream may be silent for as long as it likes while both of its ends are there.
func clientKeepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 6}
}

// ports listens on the ports that there are Routes for, each with a goroutine of its own that accepts.
// Only one goroutine calls set and close.
type ports struct {
	log     logr.Logger
	metrics *Metrics
	// address is what is listened on; empty is everything.
	address string
	now     func() time.Time
	// accept takes a connection, without waiting. The goroutines of all ports call it.
	accept func(context.Context, *net.TCPConn, *Route)
	// serves says whether a mirror is there still.
	serves func(Target) bool

	open      map[uint16]*port
	failed    map[uint16]*failure
	accepting sync.WaitGroup
}

// port is one that is listened on.
type port struct {
	listener *net.TCPListener
	// closed is closed before the listener is.
	closed chan struct{}
	route  atomic.Pointer[Route]
	// left is when there was no Route for it any more, zero while there is one.
	left time.Time
}

// failure is a port that could not be opened.
type failure struct {
	wait time.Duration
	next time.Time
}

func newPorts(log logr.Logger, metrics *Metrics, address string, accept func(context.Context, *net.TCPConn, *Route), serves func(Target) bool) *ports {
	return &ports{
		log: log, metrics: metrics, address: address, now: time.Now, accept: accept, serves: serves,
		open: map[uint16]*port{}, failed: map[uint16]*failure{},
	}
}

// set listens on the ports of routes, as far as they can be opened, and on those that linger. A port that has another
// Route now keeps its listener, and so the connections that wait in it. It returns when it wants to be called
// again for those that could not be opened and those that linger, zero if there are none.
func (p *ports) set(ctx context.Context, routes map[uint16]*Route) (again time.Duration) {
	p.leave(routes)
	for number := range p.failed {
		if _, ok := routes[number]; !ok {
			delete(p.failed, number)
		}
	}
	for number, route := range routes {
		have := p.open[number]
		if have == nil {
			p.try(ctx, number, route)
			continue
		}
		if have.left = (time.Time{}); !have.route.Load().same(route) {
			have.route.Store(route)
		}
	}
	p.metrics.setPorts(len(p.open), len(p.failed))
	return p.again()
}

// leave closes the ports that have no Route any more, in the end.
func (p *ports) leave(routes map[uint16]*Route) {
	lingering := 0
	for number, have := range p.open {
		if _, ok := routes[number]; ok {
			continue
		}
		if have.left.IsZero() {
			have.left = p.now()
		}
		if lingering < mostLingering && p.now().Sub(have.left) < linger && p.serves(have.route.Load().Target) {
			lingering++
			continue
		}
		have.close()
		delete(p.open, number)
	}
}

// try opens a port, unless that failed a moment ago.
func (p *ports) try(ctx context.Context, number uint16, route *Route) {
	failed := p.failed[number]
	if failed != nil && p.now().Before(failed.next) {
		return
	}
	listener, err := p.listen(ctx, number)
	if err != nil {
		p.fail(number, failed, route, err)
		return
	}
	if failed != nil {
		delete(p.failed, number)
		p.log.Info("Listening on an egress port at last", "port", number, "mirror", route.Target.Mirror.String())
	}
	opened := &port{listener: listener, closed: make(chan struct{})}
	opened.route.Store(route)
	p.open[number] = opened
	p.accepting.Go(func() { p.run(ctx, opened) })
}

// fail puts a port off. It is told once, however often it is tried.
func (p *ports) fail(number uint16, failed *failure, route *Route, err error) {
	if failed == nil {
		failed = &failure{wait: firstListen}
		p.failed[number] = failed
		p.log.Error(err, "Cannot listen on an egress port, which is tried again and again", "port", number, "mirror", route.Target.Mirror.String())
	} else {
		failed.wait = min(2*failed.wait, longestListen)
		p.log.V(1).Info("Still cannot listen on an egress port", "port", number, "cause", err.Error())
	}
	failed.next = p.now().Add(failed.wait)
}

// again is how long it is until the first failed port is to be tried, or the first that lingers is to be closed.
func (p *ports) again() time.Duration {
	var soonest time.Duration
	note := func(at time.Time) {
		// At least a moment: zero means never.
		if wait := max(at.Sub(p.now()), time.Millisecond); soonest == 0 || wait < soonest {
			soonest = wait
		}
	}
	for _, f := range p.failed {
		note(f.next)
	}
	for _, o := range p.open {
		if !o.left.IsZero() {
			note(o.left.Add(linger))
		}
	}
	return soonest
}

// listen opens a port. Multipath TCP stays off: no pod network carries it, and it costs.
func (p *ports) listen(ctx context.Context, number uint16) (*net.TCPListener, error) {
	config := net.ListenConfig{KeepAliveConfig: clientKeepAlive()}
	config.SetMultipathTCP(false)
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(p.address, strconv.Itoa(int(number))))
	if err != nil {
		return nil, err
	}
	typed, ok := listener.(*net.TCPListener)
	if !ok {
		_ = listener.Close()
		return nil, fmt.Errorf("listening on port %d gave a %T", number, listener)
	}
	return typed, nil
}

// close stops listening. Connections that were accepted stay.
func (p *ports) close() {
	for _, have := range p.open {
		have.close()
	}
	clear(p.open)
	clear(p.failed)
	p.metrics.setPorts(0, 0)
	p.accepting.Wait()
}

func (o *port) close() {
	close(o.closed)
	_ = o.listener.Close()
}

// run accepts until the port is closed. When the host is out of descriptors or memory it waits a little.
func (p *ports) run(ctx context.Context, o *port) {
	const first, longest = 5 * time.Millisecond, time.Second
	wait := first
	for {
		conn, err := o.listener.AcceptTCP()
		switch {
		case err == nil:
			wait = first
			p.accept(ctx, conn, o.route.Load())
			continue
		case errors.Is(err, net.ErrClosed):
			return
		case wait == first:
			p.log.Error(err, "Cannot accept connections on an egress port", "address", o.listener.Addr().String())
		}
		select {
		case <-o.closed:
			return
		case <-time.After(wait):
			wait = min(2*wait, longest)
		}
	}
}
