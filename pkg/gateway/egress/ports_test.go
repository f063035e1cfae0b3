package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// A port that cannot be opened is tried less and less often, but never given up.
func TestBacksOffFromPortsThatAreInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:20001")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	now := time.Unix(1_700_000_000, 0)
	p := newPorts(logr.Discard(), NewMetrics(prometheus.NewRegistry()), "127.0.0.1", nil, nil)
	p.now = func() time.Time { return now }
	defer p.close()
	routes := map[uint16]*Route{20001: {}}
	for _, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000} {
		want *= time.Millisecond
		if got := p.set(t.Context(), routes); got != want {
			t.Fatalf("tried again in %v, want %v", got, want)
		}
		now = now.Add(want / 2)
		if got := p.set(t.Context(), routes); got != want/2 {
			t.Fatalf("a change in between makes it %v, want %v", got, want/2)
		}
		now = now.Add(want / 2)
	}
	_ = taken.Close()
	if got := p.set(t.Context(), routes); got != 0 || len(p.open) != 1 {
		t.Errorf("%d ports are open, tried again in %v", len(p.open), got)
	}
}

// A mirror that turns pod to pod is led here for a moment still, by every kube-proxy that hears of it later than the egress:
// nobody is refused meanwhile. One that is gone has no ports at once, and a port that is used again stays (MIR-12).
func TestAPortOutlivesItsModeForAMoment(t *testing.T) {
	now, there := time.Unix(1_700_000_000, 0), true
	p := newPorts(logr.Discard(), NewMetrics(prometheus.NewRegistry()), "127.0.0.1", nil, func(Target) bool { return there })
	p.now = func() time.Time { return now }
	defer p.close()
	routes, none := map[uint16]*Route{20001: {}}, map[uint16]*Route{}
	expect := func(what string, routes map[uint16]*Route, open int, again time.Duration) {
		t.Helper()
		if got := p.set(t.Context(), routes); got != again || len(p.open) != open {
			t.Errorf("%s: %d ports are open, looked at again in %v; want %d and %v", what, len(p.open), got, open, again)
		}
	}
	expect("it leads here", routes, 1, 0)
	expect("it leads elsewhere", none, 1, linger)
	now = now.Add(linger / 2)
	expect("it leads here again", routes, 1, 0)
	expect("it leads elsewhere once more", none, 1, linger)
	now = now.Add(linger)
	expect("everybody has heard of it", none, 0, 0)
	expect("it is back", routes, 1, 0)
	there = false
	expect("the mirror is gone", none, 0, 0)
}

// By default clients of both families are served, and an IPv4 client is shown as one.
func TestListensOnAllAddresses(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.BindAddress = "" })
	w.follow(t, newMirror(), newLink())
	for _, address := range []string{"127.0.0.1", "[::1]"} {
		conn, err := (&net.Dialer{Timeout: patience}).Dial("tcp", address+":20001")
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, conn, "hello", "192.0.2.10")
		_ = conn.Close()
		if rec := w.records.expect(t, stream.Done, ""); rec.Client != conn.LocalAddr().String() {
			t.Errorf("client %s, want %s", rec.Client, conn.LocalAddr())
		}
	}
}

// A connection that was accepted when its mirror had just gone is not carried: nobody would cut it.
func TestDoesNotCarryForAMirrorThatIsGone(t *testing.T) {
	w := newWorld(t, nil)
	w.follow(t, newLink())
	listener, err := net.Listen("tcp", "127.0.0.1:20001")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client := w.client(t, 20001)
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	late := newTestTable(t, newMirror(), newLink()).Routes().ByPort[20001]
	w.accept(context.Background(), conn.(*net.TCPConn), late)
	expectReset(t, client)
	w.records.expect(t, stream.Refused, "withdrawn")
	if asked := w.gateways.takeAsked(); len(asked) > 0 {
		t.Errorf("dialed %v", asked)
	}
}

// Whoever waits for idleness is told once it is there, and a stream that is cut twice was cut for the first cause.
func TestStreams(t *testing.T) {
	s := newStreams(2, 2)
	from := netip.MustParseAddr("10.42.0.7")
	select {
	case <-s.whenIdle():
	default:
		t.Error("not idle without a stream")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	one, _ := s.begin(Target{Port: 80}, from, cancel)
	two, _ := s.begin(Target{Port: 80}, from, cancel)
	if three, full := s.begin(Target{Port: 81}, from, cancel); three != nil || full != ReasonFull {
		t.Errorf("there is room for a third of two, or it is %q", full)
	}
	idle := s.whenIdle()
	if n := s.cut(ReasonWithdrawn, func(to Target) bool { return to.Port != 80 }); n != 2 {
		t.Errorf("%d streams are cut, want 2", n)
	}
	if n := s.cut(ReasonStopped, func(Target) bool { return false }); n != 0 {
		t.Errorf("%d streams are cut twice", n)
	}
	if one.cutFor() != ReasonWithdrawn || one.attach() || !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("cut for %q, context %v", one.cutFor(), ctx.Err())
	}
	s.end(one)
	select {
	case <-idle:
		t.Error("idle with a stream")
	default:
	}
	s.end(two)
	select {
	case <-idle:
	default:
		t.Error("not idle without a stream")
	}
	if len(s.open) != 0 || len(s.clients) != 0 {
		t.Errorf("%d targets and %d clients are kept without streams", len(s.open), len(s.clients))
	}
}

// One client cannot take the room of all others, and has room again once its streams end.
func TestOneClientLeavesRoomForOthers(t *testing.T) {
	s := newStreams(4, 2)
	greedy, other := netip.MustParseAddr("10.42.0.7"), netip.MustParseAddr("10.42.0.8")
	begin := func(from netip.Addr, want Reason) *open {
		t.Helper()
		o, full := s.begin(Target{Port: 80}, from, func() {})
		if full != want || (o == nil) != (want != "") {
			t.Errorf("%v is told %q, want %q", from, full, want)
		}
		return o
	}
	first := begin(greedy, "")
	begin(greedy, "")
	begin(greedy, ReasonClientFull)
	begin(other, "")
	s.end(first)
	begin(greedy, "")
	begin(greedy, ReasonClientFull)
	begin(other, "")
	begin(other, ReasonFull)
}
