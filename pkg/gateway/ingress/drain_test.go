package ingress

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// The listener is closed, streams that are open go on, and drained says when none is left.
func TestDrainingLetsOpenStreamsEnd(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		g := startGateway(t, Options{})
		g.serveEcho()
		s := g.openEcho(w, g.credentials(webClient))
		say(t, s, "hello")
		if err := g.server.Ready(); err != nil {
			t.Errorf("not ready: %v", err)
		}
		drained := g.server.Drain()
		if err := g.server.Ready(); err == nil {
			t.Error("ready, while it drains")
		}
		if conn, err := g.dial(); err == nil {
			_ = conn.Close()
			t.Error("it still listens")
		}
		say(t, s, "still here")
		select {
		case <-drained:
			t.Fatal("drained, with a stream that is open")
		default:
		}
		g.waitFor("the client to be asked for no more streams", func() bool {
			session, ok := s.(farMux)
			return !ok || session.session.goAway.Load()
		})
		finish(t, s)
		switch s := s.(type) {
		case *farLane:
			if !s.goAway { // then it comes after the stream
				expectText(t, s.conn, "\xC0\x00\x00\x00")
			}
			_ = s.Close()
		case farMux:
			_ = s.session.Close()
		}
		within(t, drained, "the last connection to end")
		g.expectEnd(1, stream.Done, "")
		within(t, g.server.Drain(), "the same again")
	})
}

// The client may have begun a stream before it was asked not to.
func TestAStreamThatComesWhileDrainingIsServed(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	g.serveEcho()
	conn := g.secure(g.credentials(webClient), alpnLane)
	s := beginLane(t, conn, header(echoName, 80, opaque))
	say(t, s, "hello")
	drained := g.server.Drain()
	finish(t, s)
	late := beginLane(t, conn, header(echoName, 80, opaque))
	say(t, late, "just in time")
	finish(t, late)
	_ = conn.Close()
	within(t, drained, "the last connection to end")
	g.expectEnd(2, stream.Done, "")
}

func TestDrainingBeforeAnythingHasBegun(t *testing.T) {
	t.Parallel()
	g := newGateway(t, Options{})
	if err := g.server.Ready(); err == nil {
		t.Error("ready before it listens")
	}
	within(t, g.server.Drain(), "nothing to end")
	if err := g.server.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if conn, err := g.dial(); err == nil {
		_ = conn.Close()
		t.Error("it listens")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.server.Run(ctx); err != nil {
		t.Error(err)
	}
}

// Nothing is left when Run returns, whatever was going on; the access log says that it was the gateway that ended.
func TestRunEndsEverything(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{ConnectTimeout: time.Minute})
	g.serveEcho()
	g.table.SetService(service("shop", "hole", "10.96.0.8"))
	config := g.credentials(webClient)
	open := map[string]far{}
	for _, w := range ways() {
		open[w.name] = g.openEcho(w, config)
		say(t, open[w.name], "hello")
		open[w.name+", dialing"] = g.open(w, config, "hole.shop.svc.cluster.local", 80, opaque)
	}
	g.connect()                               // in its handshake
	g.secure(config, alpnLinkerd)             // before its header
	g.secure(config, alpnLane)                // the same on a lane
	newSession(t, g.secure(config, alpnMux))  // without a stream
	idle := g.openEcho(ways()[1], config)     // between two streams
	half := g.secure(config, alpnLinkerd)     // in its header
	_, _ = half.Write([]byte("transport.l5")) //
	finish(t, idle)
	g.expectStreams(1)
	g.waitFor("all to have arrived", func() bool {
		return len(g.network.asked()) == 7 && g.metric("linkspan_gateway_open_connections") == 12
	})
	g.stop()
	within(t, g.stopped, "Run to return")
	for name, s := range open {
		t.Run(name, func(t *testing.T) { expectCut(t, s) })
	}
	lines := g.logged()
	if len(lines) != 7 {
		t.Errorf("%d streams have ended, want 7: %+v", len(lines), lines)
	}
	for _, line := range lines[1:] {
		if line.Result != string(stream.Aborted) || line.Reason != stream.ReasonStopped {
			t.Errorf("a stream was %s (%s), want aborted (stopped): %+v", line.Result, line.Reason, line)
		}
	}
	if n := g.metric("linkspan_gateway_dial_errors_total"); n != 0 {
		t.Errorf("%v failed connections were counted", n)
	}
}

func TestAPortThatIsInUseIsToldBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	g := newGateway(t, Options{Listen: l.Addr().String()})
	if err := g.server.Listen(t.Context()); err == nil {
		t.Error("no error")
	} else if !strings.HasPrefix(err.Error(), "--listen: ") {
		t.Errorf("the error %q does not name the flag", err)
	}
}

// An error of accept that time may mend neither ends the server nor floods the log.
func TestAcceptingGoesOnAfterAnError(t *testing.T) {
	t.Parallel()
	g := newGateway(t, Options{})
	if err := g.server.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	broken := &flaky{Listener: g.server.listener, left: make(chan struct{}, 5)}
	for range cap(broken.left) {
		broken.left <- struct{}{}
	}
	g.server.listener = broken
	g.run()
	g.serveEcho()
	s := g.openEcho(ways()[0], g.credentials(webClient))
	say(t, s, "hello")
	finish(t, s)
	g.expectStreams(1)
	if n := g.log.count(); n != 1 {
		t.Errorf("five errors made %d lines of the log: %s", n, g.log.text())
	}
}

// flaky is a listener whose next Accepts fail.
type flaky struct {
	net.Listener
	left chan struct{}
}

func (f *flaky) Accept() (net.Conn, error) {
	select {
	case <-f.left:
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	default:
		return f.Listener.Accept()
	}
}
