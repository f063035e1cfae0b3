package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

func TestALaneCarriesOneStreamAfterTheOther(t *testing.T) {
	i := newIngress(t)
	e := newEgress(t, Options{}, Dependencies{}, i)
	for n := range 50 {
		roundTrip(t, e.dial(), pattern(n*100))
	}
	if n := i.handshakes.Load(); n != 1 {
		t.Errorf("50 streams took %d handshakes", n)
	}
	if c := e.count(); c != (counts{lanes: 1, idle: 1}) {
		t.Errorf("counted is %+v", c)
	}
}

func TestALaneHasOneStreamAtATime(t *testing.T) {
	i := newIngress(t)
	e := newEgress(t, Options{Lanes: 100}, Dependencies{}, i)
	for range 3 {
		var streams []Stream
		for range 10 {
			streams = append(streams, e.dial())
		}
		if c := e.count(); c != (counts{lanes: 10, active: 10}) {
			t.Errorf("counted is %+v", c)
		}
		for n, s := range streams {
			write(t, s, fmt.Sprint("stream ", n))
		}
		for n, s := range slices.Backward(streams) {
			read(t, s, fmt.Sprint("stream ", n))
			must(t, s.CloseWrite())
			end(t, s)
			must(t, s.Close())
			must(t, s.Close()) // given back once
		}
	}
	if n := i.handshakes.Load(); n != 10 {
		t.Errorf("ten streams at a time took %d handshakes", n)
	}
}

func TestALaneIsNotUsedAgainAfterAnAbort(t *testing.T) {
	i := newIngress(t)
	e := newEgress(t, Options{}, Dependencies{}, i)
	s := e.dial()
	s.Abort()
	must(t, s.Close())
	if c := e.count(); c != (counts{}) {
		t.Errorf("counted is %+v", c)
	}
	roundTrip(t, e.dial(), pattern(10))
}

// Whoever cuts streams may come late: by then the lane may have the next one.
func TestALateAbortHurtsNobodyElse(t *testing.T) {
	eachWay(t, handing, func(t *testing.T, e *egress, i *ingress) {
		first := e.dial()
		server := i.next(t)
		must(t, first.CloseWrite())
		end(t, server)
		must(t, server.CloseWrite())
		end(t, first)
		server.finish(t)
		must(t, first.Close())

		second := e.dial()
		next := i.next(t)
		first.Abort()
		server.Abort()
		write(t, second, "hello")
		read(t, next, "hello")
		next.finish(t)
	})
}

func TestStreamsForWhichThereIsNoLaneShareConnections(t *testing.T) {
	i := newIngress(t)
	e := newEgress(t, Options{Lanes: 2, Sessions: 2}, Dependencies{}, i)
	var streams []Stream
	via := map[string]int{}
	for range 50 {
		s := e.dial()
		streams = append(streams, s)
		via[s.Via()]++
	}
	if via[ViaLane] != 2 || via[ViaMux] != 48 {
		t.Errorf("they went by %v", via)
	}
	if c := e.count(); c != (counts{lanes: 2, active: 2, sessions: 2, streams: 48}) {
		t.Errorf("counted is %+v", c)
	}
	e.each(func(p *peer) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, s := range p.sessions {
			if s.streams != 24 {
				t.Errorf("a session has %d streams", s.streams)
			}
		}
	})
	for _, s := range streams {
		roundTrip(t, s, pattern(1000))
	}
	if n := i.handshakes.Load(); n != 4 {
		t.Errorf("they took %d handshakes", n)
	}
	if s := e.dial(); s.Via() != ViaLane {
		t.Error("a lane that is free again is not used")
	}
}

// GW-12: an ingress limits the handshakes at a time, so that a thousand clients that come at once must not need a thousand.
func TestManyStreamsAtOnceTakeFewHandshakes(t *testing.T) {
	i := newIngress(t)
	e := newEgress(t, Options{Lanes: 8, Sessions: 2}, Dependencies{}, i)
	var clients sync.WaitGroup
	for range 500 {
		clients.Go(func() {
			s, err := e.Open(t.Context(), e.gateway, target)
			if err == nil {
				err = echoes(s, pattern(100))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	if n := i.handshakes.Load(); n > 10 {
		t.Errorf("it took %d handshakes", n)
	}
}

// A gateway of Linkerd's knows its own wire only.
func TestWithLinkerdsGatewayEachStreamHasAConnection(t *testing.T) {
	for name, o := range map[string]Options{"while there may be lanes": {}, "beyond that": {Lanes: -1}} {
		t.Run(name, func(t *testing.T) {
			i := newIngress(t, speaking(linkerdALPN...))
			e := newEgress(t, o, Dependencies{}, i)
			var clients sync.WaitGroup
			for range 20 {
				clients.Go(func() {
					s, err := e.Open(t.Context(), e.gateway, target)
					if err != nil {
						t.Error(err)
						return
					}
					if s.Via() != ViaTLS {
						t.Errorf("it went by %s", s.Via())
					}
					if err := echoes(s, pattern(1000)); err != nil {
						t.Error(err)
					}
				})
			}
			clients.Wait()
			if n := i.handshakes.Load(); n != 20 {
				t.Errorf("20 streams took %d handshakes", n)
			}
			if c := e.count(); c != (counts{}) {
				t.Errorf("counted is %+v", c)
			}
		})
	}
}

// fakeClock is a time that only a test moves.
type fakeClock struct{ offset atomic.Int64 }

func (c *fakeClock) now() time.Time          { return time.Unix(1_000_000, c.offset.Load()) }
func (c *fakeClock) advance(d time.Duration) { c.offset.Add(int64(d)) }

func TestWhatIsIdleEndsAfterAWhile(t *testing.T) {
	saw := make(chan error, 10)
	i := newIngress(t)
	clock := &fakeClock{}
	e := newEgress(t, Options{Lanes: 1, Sessions: 1}, Dependencies{Now: clock.now, Dialed: func(err *DialError) {
		if err != nil {
			saw <- err
		}
	}}, i)
	streams := []Stream{e.dial(), e.dial(), e.dial()}
	roundTrip(t, streams[0], pattern(10))
	roundTrip(t, streams[1], pattern(10))
	clock.advance(DefaultIdleTimeout / 2)
	roundTrip(t, streams[2], pattern(10))
	e.tidy()
	if c := e.count(); c != (counts{lanes: 1, idle: 1, sessions: 1}) {
		t.Errorf("counted is %+v", c)
	}
	clock.advance(DefaultIdleTimeout/2 + time.Second)
	e.eventually("the idle lane ends, and the session, which was used later, does not", func() bool { return e.count() == counts{sessions: 1} })
	clock.advance(DefaultIdleTimeout)
	e.eventually("everything ends", func() bool { return e.count() == counts{} })
	eventually(t, "the ingress has no connection", func() bool { return i.open.Load() == 0 })
	e.eventually("the address is forgotten", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.peers) == 0
	})
	select {
	case err := <-saw:
		t.Error(err)
	default:
	}
}

// CERT-9: with new certificates nothing that is open is cut, and nothing new begins on what was made under the old ones.
func TestARenewalEndsWhatIsIdleAndLeavesTheRest(t *testing.T) {
	eachWay(t, echoing, func(t *testing.T, e *egress, i *ingress) {
		busy := e.dial()
		roundTrip(t, e.dial(), pattern(10))
		before := i.handshakes.Load()
		e.Renew()
		roundTrip(t, e.dial(), pattern(10))
		if i.handshakes.Load() == before {
			t.Error("a stream began on an old connection")
		}
		roundTrip(t, busy, pattern(100_000))
		e.eventually("only new connections are left", func() bool { return e.count().lanes <= 1 && e.count().sessions <= 1 })
	})
}

// A gateway whose anchor was taken away loses its streams at once, also those that were just being opened.
func TestARenewalCutsWhomNobodyTrustsAnyMore(t *testing.T) {
	for _, w := range ways {
		t.Run(w.via, func(t *testing.T) {
			i := newIngress(t, speaking(w.alpn...))
			var distrust atomic.Bool
			var e *egress
			renewInHandshake := false
			e = newEgress(t, w.options, Dependencies{
				Trusted: func(tls.ConnectionState) error {
					if distrust.Load() {
						return errors.New("no anchor")
					}
					return nil
				},
				TLS: func(identity string, alpn ...string) (*tls.Config, error) {
					if renewInHandshake {
						distrust.Store(true)
						e.Renew()
					}
					return clientTLS(identity, alpn...)
				},
			}, i)
			s := e.dial()
			write(t, s, "hello")
			read(t, s, "hello")
			e.Renew()
			write(t, s, "hello")
			read(t, s, "hello")
			distrust.Store(true)
			e.Renew()
			_ = s.SetReadDeadline(time.Now().Add(patience)) // it may be cut already
			if _, err := s.Read(make([]byte, 1)); err == nil || ended(err) || isTimeout(err) {
				t.Errorf("the stream goes on, or ends well: %v", err)
			}
			must(t, s.Close())

			distrust.Store(false)
			renewInHandshake = true
			if s, err := e.Open(t.Context(), e.gateway, target); err == nil {
				_ = s.SetReadDeadline(time.Now().Add(patience)) // it may be cut already
				if _, err := s.Read(make([]byte, 1)); err == nil || ended(err) || isTimeout(err) {
					t.Errorf("a stream that began meanwhile goes on: %v", err)
				}
				must(t, s.Close())
			}
		})
	}
}

// deadAddress refuses connections.
func deadAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

func TestOneDeadAddressOfThreeCostsNothingMuch(t *testing.T) {
	a, b := newIngress(t), newIngress(t)
	clock := &fakeClock{}
	var failures atomic.Int64
	e := newEgress(t, Options{Lanes: 1000, ConnectTimeout: time.Second}, Dependencies{Now: clock.now, Dialed: func(err *DialError) {
		if err != nil {
			failures.Add(1)
		}
	}}, a, b)
	e.gateway.Addresses = append(e.gateway.Addresses, deadAddress(t))
	var streams []Stream
	for range 30 {
		streams = append(streams, e.dial())
	}
	if n := failures.Load(); n != 1 {
		t.Errorf("it was tried %d times", n)
	}
	eventually(t, "the streams are spread over both others", func() bool { return min(a.handshakes.Load(), b.handshakes.Load()) >= 10 })
	clock.advance(shunned + time.Second)
	for range 30 {
		streams = append(streams, e.dial())
	}
	if n := failures.Load(); n != 2 {
		t.Errorf("after a while it was tried %d times more", n-1)
	}
	for _, s := range streams {
		must(t, s.Close())
	}
}

// A load balancer's address may lead to a pod that is gone, for a moment (HA-*): who is turned down there tries again. Who
// hears nothing, or had a connection, does not.
func TestAnAddressThatTurnsDownIsTriedAgain(t *testing.T) {
	i := newIngress(t)
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	unreachable := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}
	late := &lateError{unreachable}
	for name, c := range map[string]struct {
		answers []error // of the first tries; then it is the ingress that answers
		tries   int
		lanes   int
		twice   bool // the gateway has two addresses
		fails   bool
	}{
		"once":                          {answers: []error{refused}, tries: 2},
		"twice":                         {answers: []error{unreachable, refused}, tries: 3},
		"for a session":                 {answers: []error{refused}, tries: 2, lanes: -1},
		"always":                        {answers: []error{refused, unreachable, refused}, tries: 3, fails: true},
		"it says nothing":               {answers: []error{context.DeadlineExceeded}, tries: 1, fails: true},
		"we have no socket left":        {answers: []error{os.NewSyscallError("socket", syscall.EMFILE)}, tries: 1, fails: true},
		"the kernel gives up by itself": {answers: []error{late}, tries: 1, fails: true},
		"both addresses":                {twice: true, answers: []error{refused, refused}, tries: 3},
		"one of both, one says nothing": {twice: true, answers: []error{context.DeadlineExceeded, refused}, tries: 2, fails: true},
		"the other way round":           {twice: true, answers: []error{refused, context.DeadlineExceeded}, tries: 2, fails: true},
		"a connection, which then ends": {answers: []error{nil}, tries: 1, fails: true},
		"a connection, for a session":   {answers: []error{nil}, tries: 1, lanes: -1, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			var dialed int
			clock := &fakeClock{}
			e := newEgress(t, Options{Lanes: c.lanes}, Dependencies{Now: clock.now, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				if dialed++; dialed > len(c.answers) {
					return (&net.Dialer{}).DialContext(ctx, network, address)
				}
				answer := c.answers[dialed-1]
				if answer == nil {
					here, there := net.Pipe()
					return here, there.Close()
				}
				if errors.Is(answer, late) {
					clock.advance(atOnce)
				}
				return nil, answer
			}}, i)
			gateway := e.gateway
			if c.twice {
				other := newIngress(t)
				gateway.Addresses = append(slices.Clone(gateway.Addresses), other.address())
			}
			s, err := e.Open(t.Context(), gateway, target)
			if err == nil {
				must(t, s.Close())
			}
			if (err != nil) != c.fails || dialed != c.tries {
				t.Errorf("it was tried %d times, and then: %v", dialed, err)
			}
		})
	}
	t.Run("nobody waits any more", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		e := newEgress(t, Options{}, Dependencies{Dial: func(context.Context, string, string) (net.Conn, error) {
			cancel()
			return nil, refused
		}}, i)
		if _, err := e.Open(ctx, e.gateway, target); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the error is %v", err)
		}
	})
}

type lateError struct{ error }

func (e *lateError) Unwrap() error { return e.error }

// While one stream finds out whether an address that answers nothing is back, others do not wait for it.
func TestOneStreamAtATimeTriesAnAddressThatFailed(t *testing.T) {
	i := newIngress(t)
	clock := &fakeClock{}
	dead := deadAddress(t)
	tries := make(chan struct{}, 100)
	var blackhole atomic.Bool
	e := newEgress(t, Options{Lanes: 1000, ConnectTimeout: patience}, Dependencies{Now: clock.now, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == dead.String() && blackhole.Load() {
			tries <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}, i)
	e.gateway.Addresses = append(e.gateway.Addresses, dead)
	must(t, e.dial().Close())
	must(t, e.dial().Close())
	blackhole.Store(true)
	clock.advance(shunned + time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	opened := make(chan struct{}, 20)
	for range 20 {
		clients.Go(func() {
			if s, err := e.Open(ctx, e.gateway, target); err == nil {
				_ = s.Close()
				opened <- struct{}{}
			}
		})
	}
	for range 19 {
		soon(t, "another stream", opened)
	}
	if n := len(tries); n != 1 {
		t.Errorf("%d streams try the address", n)
	}
}

// A gateway that refuses our certificate says so after the handshake. That is told as one that failed, and the address
// is tried last.
func TestARefusalAfterTheHandshakeIsAFailedOne(t *testing.T) {
	for name, c := range wires {
		t.Run(name, func(t *testing.T) {
			refuses, takes := newIngress(t, speaking(c.alpn...)), newIngress(t, speaking(c.alpn...))
			var failed atomic.Int64
			var last atomic.Pointer[DialError]
			var stranger atomic.Bool
			stranger.Store(true)
			e := newEgress(t, Options{Lanes: c.lanes}, Dependencies{
				TLS: func(identity string, alpn ...string) (*tls.Config, error) {
					if stranger.Load() {
						return anonymousTLS(identity, alpn...)
					}
					return clientTLS(identity, alpn...)
				},
				Dialed: func(err *DialError) {
					if err != nil {
						last.Store(err)
						failed.Add(1) // says that there is one
					}
				},
			}, refuses)
			e.expectTurnedAway()
			e.eventually("the failure to be told", func() bool { return failed.Load() > 0 })
			if told := last.Load(); told.Step != StepTLS || told.Address != refuses.address().String() || !strings.Contains(told.Error(), "certificate required") {
				t.Errorf("told is %v", told)
			}
			stranger.Store(false)
			e.gateway.Addresses = []netip.AddrPort{refuses.address(), takes.address()}
			for range 4 {
				s := e.dial()
				if got := s.RemoteAddr().String(); got != takes.address().String() {
					t.Errorf("a stream went to %s, want the one that did not fail", got)
				}
				roundTrip(t, s, pattern(10))
			}
		})
	}
}

func TestAnErrorSaysWhatFailed(t *testing.T) {
	i := newIngress(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, and nobody answers
	must(t, err)
	defer silent.Close()
	closed := newEgress(t, Options{}, Dependencies{}, i)
	closed.close()
	for name, c := range map[string]struct {
		gone      bool
		gateway   Gateway
		header    wire.Header
		pool      *Pool
		step      string
		is        error
		lanes     int
		addresses []netip.AddrPort
	}{
		"no address":                       {is: ErrNoAddress},
		"a header that cannot be":          {header: wire.Header{Name: "web"}, addresses: []netip.AddrPort{i.address()}, is: nil},
		"nobody listens":                   {addresses: []netip.AddrPort{deadAddress(t)}, step: StepConnect},
		"nobody listens, without lanes":    {addresses: []netip.AddrPort{deadAddress(t)}, step: StepConnect, lanes: -1},
		"nobody answers":                   {addresses: []netip.AddrPort{silent.Addr().(*net.TCPAddr).AddrPort()}, step: StepTLS, is: context.DeadlineExceeded},
		"nobody answers, without lanes":    {addresses: []netip.AddrPort{silent.Addr().(*net.TCPAddr).AddrPort()}, step: StepTLS, is: context.DeadlineExceeded, lanes: -1},
		"another gateway (GW-10)":          {gateway: Gateway{Identity: "web.shop.example"}, addresses: []netip.AddrPort{i.address()}, step: StepTLS},
		"whoever asked is gone":            {gone: true, addresses: []netip.AddrPort{i.address()}, is: context.Canceled},
		"whoever asked a session is gone":  {gone: true, addresses: []netip.AddrPort{i.address()}, is: context.Canceled, lanes: -1},
		"the pool is closed":               {pool: closed.Pool, addresses: []netip.AddrPort{i.address()}, is: ErrClosed},
		"the last of several is what told": {addresses: []netip.AddrPort{deadAddress(t), deadAddress(t)}, step: StepConnect},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.gone {
				cancel()
			}
			if c.gateway.Identity == "" {
				c.gateway.Identity = gatewayName
			}
			c.gateway.Addresses = c.addresses
			if c.header == (wire.Header{}) {
				c.header = target
			}
			if c.pool == nil {
				c.pool = newEgress(t, Options{Lanes: c.lanes, ConnectTimeout: 100 * time.Millisecond}, Dependencies{}).Pool
			}
			s, err := c.pool.Open(ctx, c.gateway, c.header)
			if err == nil {
				_ = s.Close()
				t.Fatal("it opened a stream")
			}
			dial, ok := errors.AsType[*DialError](err)
			if c.step != "" && (!ok || dial.Step != c.step || !slices.ContainsFunc(c.addresses, func(a netip.AddrPort) bool { return a.String() == dial.Address })) {
				t.Errorf("the error is %#v", err)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("the error is %v, want %v", err, c.is)
			}
		})
	}
}

// The pool tells of every connection, and of its end: what had a handshake apart from what had none.
func TestConnectionsAreToldOf(t *testing.T) {
	for name, lanes := range map[string]int{"lanes": 1, "sessions": -1} {
		t.Run(name, func(t *testing.T) {
			i := newIngress(t)
			e := newEgress(t, Options{Lanes: lanes}, Dependencies{}, i)
			tell := func() [3]int64 { return [3]int64{e.open.Load(), e.shaken.Load(), e.failed.Load()} }
			first := e.dial()
			roundTrip(t, first, pattern(10))
			if got := tell(); got != [3]int64{1, 0, 0} {
				t.Errorf("with a stream, told is %v", got)
			}
			if _, err := e.Open(t.Context(), Gateway{Identity: "web.shop.example", Addresses: e.gateway.Addresses}, target); err == nil {
				t.Error("it took another gateway for the right one")
			}
			if got := tell(); got != [3]int64{1, 0, 1} {
				t.Errorf("after a handshake that failed, told is %v", got)
			}
			if _, err := e.Open(t.Context(), Gateway{Identity: gatewayName, Addresses: []netip.AddrPort{deadAddress(t)}}, target); err == nil {
				t.Error("it connected to nobody")
			}
			first.Abort()
			must(t, first.Close())
			e.close()
			if got := tell(); got != [3]int64{0, 1, 1} {
				t.Errorf("at the end, told is %v", got)
			}
		})
	}
}

// Whoever waits for a session of which another stream has charge does not suffer when that one gives up.
func TestASessionIsMadeByAnotherWhenItsMakerGoesAway(t *testing.T) {
	i := newIngress(t)
	dials := make(chan chan struct{})
	e := newEgress(t, Options{Lanes: -1, Sessions: 1, ConnectTimeout: patience}, Dependencies{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		goOn := make(chan struct{})
		dials <- goOn
		select {
		case <-goOn:
			return (&net.Dialer{}).DialContext(ctx, network, address)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}, i)
	var clients sync.WaitGroup
	defer clients.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	clients.Go(func() {
		if _, err := e.Open(ctx, e.gateway, target); !errors.Is(err, context.Canceled) {
			t.Errorf("the maker got %v", err)
		}
	})
	soon(t, "the first attempt", dials)
	for range 5 {
		clients.Go(func() {
			s, err := e.Open(t.Context(), e.gateway, target)
			if err == nil {
				err = echoes(s, pattern(10))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	cancel()
	close(soon(t, "the second attempt", dials))
	clients.Wait()
	if n := i.handshakes.Load(); n != 1 {
		t.Errorf("%d handshakes", n)
	}
}

// A pool may be closed while a stream is being opened. What comes of that is not left behind.
func TestAPoolMayBeClosedWhileAConnectionIsMade(t *testing.T) {
	for name, o := range map[string]Options{"for a lane": {}, "for a session": {Lanes: -1}} {
		t.Run(name, func(t *testing.T) {
			i := newIngress(t)
			dials := make(chan chan struct{})
			e := newEgress(t, o, Dependencies{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				goOn := make(chan struct{})
				dials <- goOn
				<-goOn
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}}, i)
			opened := make(chan error, 1)
			go func() {
				s, err := e.Open(t.Context(), e.gateway, target)
				if err == nil { // a stream on a lane is its owner's
					err = echoes(s, pattern(10))
				}
				opened <- err
			}()
			goOn := soon(t, "the connection", dials)
			e.cancel()
			<-e.stopped
			close(goOn)
			err := soon(t, "the outcome", opened)
			if want := o.Lanes < 0; errors.Is(err, ErrClosed) != want || err != nil && !want {
				t.Errorf("got %v", err)
			}
			if c := e.count(); c != (counts{}) {
				t.Errorf("counted is %+v", c)
			}
			eventually(t, "the ingress has no connection", func() bool { return i.open.Load() == 0 })
		})
	}
}

func TestRunTidiesUntilItsContextEnds(t *testing.T) {
	i := newIngress(t)
	clock := &fakeClock{}
	p := NewPool(Options{}, Dependencies{TLS: clientTLS, Now: clock.now})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { p.Run(ctx) })
	open := func() {
		s, err := p.Open(t.Context(), Gateway{Addresses: []netip.AddrPort{i.address()}, Identity: gatewayName}, target)
		must(t, err)
		roundTrip(t, s, pattern(10))
	}
	open()
	clock.advance(2 * DefaultIdleTimeout)
	eventually(t, "the idle lane is gone", func() bool { return i.open.Load() == 0 })
	open()
	cancel()
	running.Wait()
	eventually(t, "nothing is left", func() bool { return i.open.Load() == 0 })
	if _, err := p.Open(t.Context(), Gateway{Addresses: []netip.AddrPort{i.address()}}, target); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed pool gives %v", err)
	}
}

// What a closed pool has open belongs to its owner, but for the streams of sessions.
func TestClosingAPoolLeavesLanesToTheirOwner(t *testing.T) {
	i := newIngress(t)
	e := newEgress(t, Options{Lanes: 1, Sessions: 1}, Dependencies{}, i)
	onLane, shared := e.dial(), e.dial()
	write(t, onLane, "hello")
	read(t, onLane, "hello")
	e.cancel()
	<-e.stopped
	if _, err := shared.Read(make([]byte, 1)); err == nil || ended(err) {
		t.Errorf("a shared stream got %v", err)
	}
	must(t, shared.Close())
	write(t, onLane, "hello")
	read(t, onLane, "hello")
	must(t, onLane.CloseWrite())
	end(t, onLane)
	must(t, onLane.Close())
	if c := e.count(); c != (counts{}) {
		t.Errorf("counted is %+v", c)
	}
}

// Whatever happens to streams, a lane is counted once and forgotten once, and so is a place on a session.
func TestNothingIsLostCountOfWhateverHappens(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			i := newIngress(t, handling(misbehave))
			e := newEgress(t, Options{Lanes: 3, Sessions: 2}, Dependencies{Trusted: func(tls.ConnectionState) error { return nil }}, i)
			var clients sync.WaitGroup
			for client := range uint64(10) {
				r := rand.New(rand.NewPCG(seed, client))
				clients.Go(func() {
					for range 25 {
						visit(t.Context(), e, r)
					}
				})
			}
			clients.Wait()
			c := e.count()
			if c.active != 0 || c.streams != 0 || c.attempts != 0 || c.lanes != c.idle || c.lanes > 3 || c.sessions > 20 {
				t.Errorf("counted is %+v", c)
			}
			e.Renew()
			e.eventually("nothing is counted after a renewal", func() bool { return e.count() == counts{} })
			eventually(t, "the ingress has no connection", func() bool { return i.open.Load() == 0 })
		})
	}
}

// misbehave is told by the first byte what to do.
func misbehave(in Incoming) {
	var what [1]byte
	if _, err := in.Read(what[:]); err != nil {
		_ = in.Close()
		return
	}
	switch what[0] % 6 {
	case 0:
		in.Refuse(CodeDenied)
	case 1:
		in.Abort()
	case 2:
		_ = in.CloseWrite()
	case 3: // it is not even closed
		return
	default:
		echo(in)
	}
	_ = in.Close()
}

// visit is a stream that goes wrong in some way, and now and then a renewal.
func visit(ctx context.Context, e *egress, r *rand.Rand) {
	switch r.IntN(20) {
	case 0:
		e.Renew()
		return
	case 1:
		limited, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(2000))*time.Microsecond)
		defer cancel()
		ctx = limited
	}
	s, err := e.Open(ctx, e.gateway, target)
	if err != nil {
		return
	}
	defer s.Close()
	switch r.IntN(4) {
	case 0:
		s.Abort()
	case 1:
		_, _ = s.Write([]byte{byte(r.Uint32())})
	case 2:
		_, _ = s.Write(pattern(r.IntN(100_000)))
		_ = s.CloseWrite()
		_, _ = s.Read(make([]byte, 10))
	default:
		_, _ = ask(s, append([]byte{byte(r.Uint32())}, pattern(r.IntN(100_000))...))
	}
}
