package tunnel

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/wire"
	"github.com/linkspan/linkspan/test/certs"
)

const (
	gatewayName = "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
	egressName  = "linkspan-egress.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"

	patience = 20 * time.Second
)

// target is the header of streams whose header does not matter.
var target = wire.Header{Port: 80, Name: "web.shop.svc.cluster.local"}

// papers are the certificates of both ends, made once.
var papers = sync.OnceValue(func() (p struct {
	gateway, egress tls.Certificate
	anchors         *x509.CertPool
	err             error
}) {
	anchor, err := certs.Anchor("root")
	if err != nil {
		p.err = err
		return p
	}
	issuer, err := anchor.Issuer("east")
	if err != nil {
		p.err = err
		return p
	}
	gateway, err1 := issuer.Leaf(gatewayName)
	egress, err2 := issuer.Leaf(egressName)
	if p.err = errors.Join(err1, err2); p.err == nil {
		p.gateway, p.egress, p.anchors = gateway.TLS(), egress.TLS(), certs.Pool(anchor)
	}
	return p
})

func serverTLS(alpn ...string) *tls.Config {
	p := papers()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{p.gateway}, NextProtos: alpn,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: p.anchors, DynamicRecordSizingDisabled: true,
	}
}

func clientTLS(identity string, alpn ...string) (*tls.Config, error) {
	p := papers()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{p.egress}, NextProtos: alpn,
		RootCAs: p.anchors, ServerName: identity, DynamicRecordSizingDisabled: true,
	}, p.err
}

var (
	ourALPN     = []string{wire.ALPNMux, ALPNLane, wire.ALPN}
	linkerdALPN = []string{wire.ALPN}
)

// ingress is the other end.
type ingress struct {
	*testing.T
	ServeOptions
	alpn     []string
	listener net.Listener
	cancel   context.CancelFunc
	draining chan struct{}
	parts    sync.WaitGroup
	gone     chan struct{} // closed when nothing is left, after drain or stop
	once     sync.Once

	handshakes atomic.Int64
	open       atomic.Int64
	bad        chan error
	handed     chan handed
}

// next is the next stream that it hands out.
func (i *ingress) next(t *testing.T) handed {
	t.Helper()
	return soon(t, "the stream", i.handed)
}

type setting func(*ingress)

func handling(handle func(Incoming)) setting {
	return func(i *ingress) { i.Handle = func(_ context.Context, in Incoming) { handle(in) } }
}

// handing gives the streams to the test, which releases each when it is done with it.
func handing(i *ingress) {
	i.handed = make(chan handed)
	i.Handle = func(ctx context.Context, in Incoming) {
		h := handed{in, make(chan struct{})}
		select {
		case i.handed <- h:
		case <-ctx.Done():
			return
		}
		select {
		case <-h.released:
		case <-ctx.Done():
		}
	}
}

// handed is a stream in the hands of the test.
type handed struct {
	Incoming
	released chan struct{}
}

// finish closes a stream and gives it back.
func (h handed) finish(t *testing.T) {
	t.Helper()
	must(t, h.Close())
	close(h.released)
}

func speaking(alpn ...string) setting { return func(i *ingress) { i.alpn = alpn } }

func at(address netip.AddrPort) setting {
	return func(i *ingress) {
		listener, err := net.Listen("tcp", address.String())
		if err != nil {
			i.Fatal(err)
		}
		i.listener = listener
	}
}

// newIngress serves echoes, unless settings say otherwise, until the test ends.
func newIngress(t *testing.T, settings ...setting) *ingress {
	t.Helper()
	if err := papers().err; err != nil {
		t.Fatal(err)
	}
	i := &ingress{
		T: t, alpn: ourALPN, draining: make(chan struct{}), gone: make(chan struct{}), bad: make(chan error, 100),
		ServeOptions: ServeOptions{HeaderTimeout: patience, IdleTimeout: time.Minute, MaxStreams: 10000, Handle: func(_ context.Context, in Incoming) { echo(in) }},
	}
	i.BadHeader = func(_ string, err error) { i.bad <- err }
	i.Draining = i.draining
	for _, set := range settings {
		set(i)
	}
	if i.listener == nil {
		at(netip.MustParseAddrPort("127.0.0.1:0"))(i)
	}
	ctx, cancel := context.WithCancel(context.Background())
	i.cancel = cancel
	i.parts.Go(func() { i.accept(ctx) })
	t.Cleanup(i.stop)
	return i
}

func (i *ingress) address() netip.AddrPort {
	return i.listener.Addr().(*net.TCPAddr).AddrPort()
}

func (i *ingress) accept(ctx context.Context) {
	for {
		raw, err := i.listener.Accept()
		if err != nil {
			return
		}
		i.open.Add(1)
		i.parts.Go(func() {
			defer i.open.Add(-1)
			conn, err := Server(ctx, raw, serverTLS(i.alpn...))
			if err != nil {
				return
			}
			i.handshakes.Add(1)
			_ = Serve(ctx, conn, i.ServeOptions) // says why the connection ended
		})
	}
}

// drain asks for no more streams, and gives a channel that is closed when none is left.
func (i *ingress) drain() <-chan struct{} {
	i.once.Do(func() {
		i.listener.Close()
		close(i.draining)
		go func() {
			i.parts.Wait()
			close(i.gone)
		}()
	})
	return i.gone
}

// stop ends everything at once.
func (i *ingress) stop() {
	i.cancel()
	select {
	case <-i.drain():
	case <-time.After(patience):
		i.Error("the ingress does not end")
	}
}

// egress is our end.
type egress struct {
	*testing.T
	*Pool
	gateway Gateway
	via     string // the way that streams must take, if it matters
	cancel  context.CancelFunc
	stopped chan struct{}
	once    sync.Once
	// open is how many TCP connections the pool told of that have not ended; shaken and failed are how they did.
	open, shaken, failed atomic.Int64
}

// wires are the ways in which a stream can be on a connection: what the ingress speaks, and how many lanes the egress has.
var wires = map[string]struct {
	alpn  []string
	lanes int
}{
	"lane": {ourALPN, 10}, "session": {ourALPN, -1}, "linkerd's wire": {linkerdALPN, 10},
}

// anonymousTLS is the egress's, without the certificate that every gateway asks for.
func anonymousTLS(identity string, alpn ...string) (*tls.Config, error) {
	config, err := clientTLS(identity, alpn...)
	config.Certificates = nil
	return config, err
}

// expectTurnedAway opens a stream to a gateway that refuses our certificate, with which no stream gets as far as an answer.
func (e *egress) expectTurnedAway() {
	e.Helper()
	s, err := e.Open(e.Context(), e.gateway, target)
	if err == nil {
		_, err = s.Read(make([]byte, 1))
		must(e.T, s.Close())
	}
	if err == nil {
		e.Fatal("a gateway took a client without a certificate")
	}
}

// newEgress makes a pool that is tidied all the time, and closed with the test. All that it counts must be gone then.
func newEgress(t *testing.T, o Options, d Dependencies, gateways ...*ingress) *egress {
	t.Helper()
	e := &egress{T: t, gateway: Gateway{Identity: gatewayName}, stopped: make(chan struct{})}
	for _, i := range gateways {
		e.gateway.Addresses = append(e.gateway.Addresses, i.address())
	}
	if d.TLS == nil {
		d.TLS = clientTLS
	}
	d.Opened = e.opened
	e.Pool = NewPool(o, d)
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	go func() {
		defer close(e.stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				e.Pool.close()
				return
			case <-tick.C:
				e.tidy()
			}
		}
	}()
	t.Cleanup(e.close)
	return e
}

// opened counts as an egress's metrics do.
func (e *egress) opened() (closed func(shaken bool)) {
	e.open.Add(1)
	return func(shaken bool) {
		e.open.Add(-1)
		if shaken {
			e.shaken.Add(1)
		} else {
			e.failed.Add(1)
		}
	}
}

func (e *egress) close() {
	e.once.Do(func() {
		e.cancel()
		select {
		case <-e.stopped:
		case <-time.After(patience):
			e.Fatal("the pool does not end")
		}
		e.eventually("nothing is counted any more", func() bool { return e.count() == counts{} && e.open.Load() == 0 })
	})
}

// counts are what the pool keeps count of.
type counts struct{ lanes, idle, sessions, streams, attempts, active int }

func (e *egress) count() (c counts) {
	e.each(func(p *peer) {
		p.mu.Lock()
		defer p.mu.Unlock()
		c.lanes += p.lanes
		c.idle += len(p.idle)
		c.sessions += len(p.sessions)
		c.attempts += len(p.attempts)
		c.active += len(p.active)
		for _, s := range p.sessions {
			c.streams += s.streams
		}
	})
	return c
}

func (e *egress) eventually(what string, done func() bool) {
	e.Helper()
	eventually(e.T, what, done)
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("it never comes to pass that %s", what)
		}
	}
}

// dial opens a stream, which is aborted with the test if it is still open.
func (e *egress) dial() Stream {
	e.Helper()
	s, err := e.Open(e.Context(), e.gateway, target)
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _ = s.Close() })
	if e.via != "" && s.Via() != e.via {
		e.Fatalf("the stream goes by %s instead of %s", s.Via(), e.via)
	}
	return s
}

// way is one of the three.
type way struct {
	via     string
	alpn    []string
	options Options
}

// ways make a pool and a gateway take each way.
var ways = []way{
	{ViaTLS, linkerdALPN, Options{}},
	{ViaLane, ourALPN, Options{Lanes: 1000}},
	{ViaMux, ourALPN, Options{Lanes: -1, Sessions: 1}},
}

// eachWay runs a test over each.
func eachWay(t *testing.T, set setting, test func(t *testing.T, e *egress, i *ingress)) {
	t.Helper()
	for _, w := range ways {
		t.Run(w.via, func(t *testing.T) {
			i := newIngress(t, speaking(w.alpn...), set)
			e := newEgress(t, w.options, Dependencies{}, i)
			e.via = w.via
			test(t, e, i)
		})
	}
}

// echoing is what an ingress does anyway.
func echoing(*ingress) {}

// echo sends back what comes, and ends when the other end does.
func echo(in Incoming) {
	if _, err := io.Copy(in, in); err == nil {
		_ = in.CloseWrite() // the other end may be gone
	}
	_ = in.Close()
}

// ask sends a request with its end, and reads all of the answer.
func ask(s Stream, request []byte) (answer []byte, err error) {
	var wg sync.WaitGroup
	var writeErr error
	wg.Go(func() {
		if _, writeErr = s.Write(request); writeErr == nil {
			writeErr = s.CloseWrite()
		}
	})
	answer, err = io.ReadAll(s)
	wg.Wait()
	return answer, errors.Join(err, writeErr, s.Close())
}

// roundTrip asks an echo.
func roundTrip(t *testing.T, s Stream, request []byte) {
	t.Helper()
	if err := echoes(s, request); err != nil {
		t.Fatal(err)
	}
}

func echoes(s Stream, request []byte) error {
	answer, err := ask(s, request)
	if err == nil && !bytes.Equal(answer, request) {
		err = fmt.Errorf("%d bytes came back changed, as %d", len(request), len(answer))
	}
	return err
}

// pattern is n bytes, none of which is like those a few chunks before it.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>13)
	}
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// soon receives, but does not wait for ever.
func soon[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s does not come", what)
	}
	var none T
	return none
}

func read(t *testing.T, s io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(s, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v instead of %q", got, err, want)
	}
}

func write(t *testing.T, s io.Writer, what string) {
	t.Helper()
	if _, err := s.Write([]byte(what)); err != nil {
		t.Fatal(err)
	}
}

// end reads an end.
func end(t *testing.T, s io.Reader) {
	t.Helper()
	if n, err := s.Read(make([]byte, 1)); n != 0 || !ended(err) {
		t.Fatalf("got %d bytes and %v instead of an end", n, err)
	}
}
