package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/linkspan/linkspan/pkg/gateway/pipe"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
	"github.com/linkspan/linkspan/test/rig"
)

// patience is for what takes no time unless the machine is busy.
const patience = rig.DefaultPatience

// world is an egress between clients and gateways that are made of nothing but TCP.
type world struct {
	*Server
	gateways *gateways
	records  *records
	lines    *lines
	stop     context.CancelFunc
	ended    chan struct{}
}

func newWorld(t *testing.T, change func(*Options)) *world {
	t.Helper()
	opts := Options{Loopback: true, BindAddress: "127.0.0.1"}
	opts.Default()
	if change != nil {
		change(&opts)
	}
	if err := opts.Validate(); err != nil {
		t.Fatal(err)
	}
	w := &world{gateways: newGateways(t), records: &records{}, lines: &lines{}, ended: make(chan struct{})}
	w.Server = newServer(w.lines.logger(), opts, w.gateways, w.records, NewMetrics(prometheus.NewRegistry()))
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	go func() {
		defer close(w.ended)
		if err := w.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() { w.end(t) })
	return w
}

// follow tells the egress of all there is at the start, and waits until it is ready.
func (w *world) follow(t *testing.T, objects ...any) {
	t.Helper()
	for _, object := range objects {
		set(t, w.table, object)
	}
	w.table.mu.Lock()
	w.table.mirrorsListed, w.table.proofsListed, w.table.linksListed = true, true, true
	w.table.mu.Unlock()
	w.wake()
	soon(t, w.Ready)
}

func (w *world) end(t *testing.T) {
	t.Helper()
	w.stop()
	select {
	case <-w.ended:
	case <-time.After(patience):
		t.Error("Run has not returned")
	}
}

func soon(t *testing.T, ask func() error) {
	t.Helper()
	rig.ExpectSoon(t, func(context.Context) error { return ask() })
}

// expectListening waits until so many ports are open, and so many are not although they should be.
func (w *world) expectListening(t *testing.T, listening, failed int) {
	t.Helper()
	soon(t, func() error {
		l := testutil.ToFloat64(w.metrics.ports.WithLabelValues(stateListening))
		f := testutil.ToFloat64(w.metrics.ports.WithLabelValues(stateFailed))
		if int(l) != listening || int(f) != failed {
			return fmt.Errorf("%v ports are listened on and %v failed, want %d and %d", l, f, listening, failed)
		}
		return nil
	})
}

// client connects to an egress port, once it is open.
func (w *world) client(t *testing.T, port int) *net.TCPConn {
	t.Helper()
	var conn *net.TCPConn
	soon(t, func() (err error) {
		conn, err = w.connect(port)
		return err
	})
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (w *world) connect(port int) (*net.TCPConn, error) {
	conn, err := (&net.Dialer{Timeout: patience}).Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// expectClosed waits until nobody listens on a port.
func (w *world) expectClosed(t *testing.T, port int) {
	t.Helper()
	soon(t, func() error {
		conn, err := w.connect(port)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil
		}
		if err == nil {
			_ = conn.Close()
		}
		return fmt.Errorf("port %d is open still: %w", port, err)
	})
}

// exchange sends a word and expects it back, from the gateway that answers as it should.
func exchange(t *testing.T, conn net.Conn, word, gateway string) {
	t.Helper()
	if err := exchanged(conn, word, gateway); err != nil {
		t.Fatal(err)
	}
}

func exchanged(conn net.Conn, word, gateway string) error {
	if _, err := conn.Write([]byte(word)); err != nil {
		return err
	}
	want := gateway + ":" + word
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil {
		return fmt.Errorf("the answer to %q: %w", word, err)
	}
	if string(got) != want {
		return fmt.Errorf("answer %q, want %q", got, want)
	}
	return nil
}

// expectReset waits for a reset, which is no end.
func expectReset(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client reads %v, want a reset", err)
	}
}

// expectTurnedAway connects, and expects a reset: that may come before the connection is there.
func (w *world) expectTurnedAway(t *testing.T, port int) {
	t.Helper()
	if err := w.turnedAway(port); err != nil {
		t.Error(err)
	}
}

func (w *world) turnedAway(port int) error {
	conn, err := w.connect(port)
	if err == nil {
		defer func() { _ = conn.Close() }()
		// One that is served instead hears nothing, because it says nothing.
		if err = conn.SetReadDeadline(time.Now().Add(time.Second)); err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("a client of port %d meets %w, want a reset", port, err)
	}
	return nil
}

// gateways are an Opener whose streams end here: each gateway answers every word with its address in front.
type gateways struct {
	listener *net.TCPListener
	serving  sync.WaitGroup

	mu sync.Mutex
	// asked are the gateways and headers that were asked for.
	asked []string
	// open replaces opening a stream.
	open func(context.Context) error
	// silent gateways read, and say nothing.
	silent bool
	// hold takes the place of all that a gateway does with a stream.
	hold func(*net.TCPConn)
	// ended is told why the reading of each stream ended.
	ended chan error
}

func newGateways(t *testing.T) *gateways {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gateways{listener: listener.(*net.TCPListener), ended: make(chan error, 10_000)}
	t.Cleanup(func() {
		listener.Close()
		g.serving.Wait()
	})
	return g
}

func (g *gateways) fail(open func(context.Context) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = open
}

func (g *gateways) takeAsked() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	asked := g.asked
	g.asked = nil
	return asked
}

// Open implements Opener.
func (g *gateways) Open(ctx context.Context, to tunnel.Gateway, h wire.Header) (tunnel.Stream, error) {
	g.mu.Lock()
	g.asked = append(g.asked, fmt.Sprintf("%s at %v for %s:%d %s", to.Identity, to.Addresses, h.Name, h.Port, h.Protocol))
	open := g.open
	g.mu.Unlock()
	if open != nil {
		if err := open(ctx); err != nil {
			return nil, err
		}
	}
	near, err := (&net.Dialer{}).DialContext(context.WithoutCancel(ctx), "tcp", g.listener.Addr().String())
	if err != nil {
		return nil, err
	}
	far, err := g.listener.AcceptTCP()
	if err != nil {
		near.Close()
		return nil, err
	}
	g.serving.Go(func() { g.serve(far, to.Addresses[0]) })
	return tunneled{near.(*net.TCPConn), pipe.TCP(near.(*net.TCPConn)).Gone}, nil
}

func (g *gateways) serve(conn *net.TCPConn, as netip.AddrPort) {
	defer func() { _ = conn.Close() }()
	g.mu.Lock()
	hold := g.hold
	g.mu.Unlock()
	if hold != nil {
		hold(conn)
		return
	}
	buf := make([]byte, 1<<16)
	for {
		n, err := conn.Read(buf)
		g.mu.Lock()
		silent := g.silent
		g.mu.Unlock()
		if n > 0 && !silent {
			if _, err := conn.Write(fmt.Appendf(nil, "%s:%s", as.Addr(), buf[:n])); err != nil {
				g.ended <- err
				return
			}
		}
		if err != nil {
			g.ended <- err
			return
		}
	}
}

// tunneled is a stream of the tunnel's that is TCP.
type tunneled struct {
	*net.TCPConn
	gone func() error
}

// Via implements tunnel.Stream.
func (tunneled) Via() string { return tunnel.ViaLane }

// Abort implements tunnel.Stream.
func (c tunneled) Abort() {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// Gone implements tunnel.Stream.
func (c tunneled) Gone() error { return c.gone() }

// expectCut waits for the end of a stream as its gateway sees it.
func (g *gateways) expectCut(t *testing.T) {
	t.Helper()
	select {
	case err := <-g.ended:
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the gateway reads %v, want a reset", err)
		}
	case <-time.After(patience):
		t.Error("the gateway's stream goes on")
	}
}

// records are what a Recorder was told.
type records struct {
	mu            sync.Mutex
	opened, bytes int
	closed        []stream.Record
}

// Opened implements Recorder.
func (r *records) Opened(side stream.Side, via string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if side == stream.Egress && via == stream.ViaTCP {
		r.opened++
	}
}

// Bytes implements Recorder.
func (r *records) Bytes(side stream.Side, _ stream.Direction, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if side == stream.Egress {
		r.bytes += int(n)
	}
}

// Closed implements Recorder.
func (r *records) Closed(rec stream.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = append(r.closed, rec)
}

// forget forgets those who only came to see whether a port was closed already.
func (r *records) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = nil
}

// expect waits for the next record, and holds its result and reason against what is wanted.
func (r *records) expect(t *testing.T, result stream.Result, reason string) stream.Record {
	t.Helper()
	var rec stream.Record
	soon(t, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.closed) == 0 {
			return errors.New("no stream has ended")
		}
		rec, r.closed = r.closed[0], r.closed[1:]
		return nil
	})
	if rec.Result != result || rec.Reason != reason {
		t.Errorf("a stream was %s for %q (%v), want %s for %q", rec.Result, rec.Reason, rec.Err, result, reason)
	}
	if rec.Side != stream.Egress || rec.OpenedVia != stream.ViaTCP || rec.Client == "" || rec.Target == "" || rec.Duration <= 0 {
		t.Errorf("the record says too little: %+v", rec)
	}
	return rec
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) logger() logr.Logger {
	return funcr.New(func(_, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, args)
	}, funcr.Options{})
}

func (l *lines) count(containing string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.all {
		if strings.Contains(line, containing) {
			n++
		}
	}
	return n
}
