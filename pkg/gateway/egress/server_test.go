package egress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
)

// GW-2: a client of a mirror reaches the gateway, announced as what its port stands for, and either side
// may end its direction first.
func TestCarriesClientsToTheGateway(t *testing.T) {
	w := newWorld(t, nil)
	w.follow(t, newMirror(), newLink())
	client := w.client(t, 20001)
	exchange(t, client, "hello", "192.0.2.10")
	want := []string{eastIdentity + " at [192.0.2.10:4143] for web.shop.svc.cluster.local:80 opaque"}
	if diff := cmp.Diff(want, w.gateways.takeAsked()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(client); err != nil || len(rest) > 0 {
		t.Errorf("after the end comes %q, %v", rest, err)
	}
	rec := w.records.expect(t, stream.Done, "")
	if rec.Cluster != "east" || rec.Target != "shop/web-east:80" || rec.Protocol != stream.Opaque || rec.Via != stream.ViaLane {
		t.Errorf("record %+v", rec)
	}
	if rec.Client != client.LocalAddr().String() || rec.Peer != w.gateways.listener.Addr().String() {
		t.Errorf("client %s and peer %s", rec.Client, rec.Peer)
	}
	if rec.Sent != 5 || rec.Received != 16 || rec.Connect <= 0 || rec.FirstByte <= rec.Connect || rec.Duration < rec.FirstByte {
		t.Errorf("record %+v", rec)
	}
}

// MIR-11: where nothing can come, the client learns it at once, and nothing is dialed.
func TestTurnsClientsAwayAtOnce(t *testing.T) {
	cases := map[string][]any{
		"gateway_dead":    {newMirror(), newLink(status("192.0.2.10", "Dead"))},
		"gateway_unknown": {newMirror(), newLink(status())},
		"no_link":         {newMirror()},
	}
	for reason, objects := range cases {
		t.Run(reason, func(t *testing.T) {
			w := newWorld(t, nil)
			w.follow(t, objects...)
			for range 100 {
				began := time.Now()
				w.expectTurnedAway(t, 20001)
				if took := time.Since(began); took > time.Second {
					t.Errorf("it took %v", took)
				}
				rec := w.records.expect(t, stream.Refused, reason)
				if rec.Via != stream.ViaTCP {
					t.Errorf("via %s", rec.Via)
				}
			}
			if asked := w.gateways.takeAsked(); len(asked) > 0 {
				t.Errorf("dialed %v", asked)
			}
		})
	}
}

// New connections follow the verdicts; open ones go on.
func TestFollowsTheGateway(t *testing.T) {
	w := newWorld(t, nil)
	w.follow(t, newMirror(), newLink())
	first := w.client(t, 20001)
	exchange(t, first, "one", "192.0.2.10")

	w.table.SetLink(newLink(status("192.0.2.10", "Dead", "192.0.2.11", "Alive")))
	var second *net.TCPConn
	soon(t, func() error {
		second = w.client(t, 20001)
		return exchanged(second, "two", "192.0.2.11")
	})
	exchange(t, first, "still", "192.0.2.10")

	w.table.SetLink(newLink(status("192.0.2.10", "Dead", "192.0.2.11", "Dead")))
	soon(t, func() error { return w.turnedAway(20001) })
	exchange(t, first, "still", "192.0.2.10")
	exchange(t, second, "still", "192.0.2.11")
}

// A port that goes from one mirror to another keeps its listener: connections never meet a closed port.
func TestAPortThatChangesKeepsItsListener(t *testing.T) {
	w := newWorld(t, nil)
	web, api := newMirror(), newMirror(of("api", "east"))
	w.follow(t, web, leading(web, 2), newLink())
	mine := w.client(t, 20001)
	exchange(t, mine, "one", "192.0.2.10")
	w.gateways.takeAsked()

	stopped, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- w.keepConnecting(20001, stopped) }()
	w.table.SetService(api)
	w.table.SetSlice(leading(api, 1))
	soon(t, func() error {
		for _, asked := range w.gateways.takeAsked() {
			if strings.Contains(asked, "api.shop.svc") {
				return nil
			}
		}
		return errors.New("nobody was taken to the mirror with the older slices")
	})
	close(stopped)
	if err := <-done; err != nil {
		t.Errorf("while the port changed: %v", err)
	}
	exchange(t, mine, "still", "192.0.2.10")
	if n := testutil.ToFloat64(w.metrics.conflicts); n != 1 {
		t.Errorf("%v conflicts are counted, want 1", n)
	}
	if n := w.lines.count("claims a port that is another's"); n != 1 {
		t.Errorf("the conflict was told %d times", n)
	}
	w.table.DeleteService("shop", "api-east")
	w.table.DeleteSlice("shop", "api-east-egress-ipv4")
	soon(t, func() error {
		if n := testutil.ToFloat64(w.metrics.conflicts); n != 0 {
			return fmt.Errorf("%v conflicts", n)
		}
		return nil
	})
}

func (w *world) keepConnecting(port int, stopped <-chan struct{}) error {
	for {
		conn, err := w.connect(port)
		if err != nil {
			return err
		}
		err = exchanged(conn, "x", "192.0.2.10")
		_ = conn.Close()
		if err != nil {
			return err
		}
		select {
		case <-stopped:
			return nil
		default:
		}
	}
}

// MIR-12: a mirror that no longer leads to the egress does not take open streams away.
func TestAPortThatIsTakenBackLeavesItsStreams(t *testing.T) {
	w := newWorld(t, nil)
	w.follow(t, newMirror(), newLink())
	client := w.client(t, 20001)
	exchange(t, client, "one", "192.0.2.10")
	w.table.SetService(newMirror(egressPorts("")))
	w.expectClosed(t, 20001)
	exchange(t, client, "two", "192.0.2.10")
	w.table.SetService(newMirror(egressPorts("80=20002")))
	exchange(t, w.client(t, 20002), "three", "192.0.2.10")
	exchange(t, client, "four", "192.0.2.10")
}

// A Service that is gone must not be in use, and both ends must be able to tell that from an end.
func TestCutsTheStreamsOfAMirrorThatIsGone(t *testing.T) {
	w := newWorld(t, nil)
	w.follow(t, newMirror(), newMirror(of("api", "east"), egressPorts("80=20002")), newLink())
	client, other := w.client(t, 20001), w.client(t, 20002)
	exchange(t, client, "one", "192.0.2.10")
	exchange(t, other, "one", "192.0.2.10")
	began := time.Now()
	w.table.DeleteService("shop", "web-east")
	expectReset(t, client)
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
	w.gateways.expectCut(t)
	rec := w.records.expect(t, stream.Aborted, "withdrawn")
	if rec.Sent != 3 {
		t.Errorf("%d bytes are told of", rec.Sent)
	}
	exchange(t, other, "two", "192.0.2.10")
}

func TestCutsStreamsWhileTheyAreOpened(t *testing.T) {
	w := newWorld(t, nil)
	dialing := make(chan struct{}, 1)
	w.gateways.fail(func(ctx context.Context) error {
		dialing <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	w.follow(t, newMirror(), newLink())

	client := w.client(t, 20001)
	<-dialing
	w.table.DeleteService("shop", "web-east")
	expectReset(t, client)
	w.records.expect(t, stream.Aborted, "withdrawn")

	w.expectClosed(t, 20001)
	<-w.streams.whenIdle()
	w.records.forget()
	w.table.SetService(newMirror())
	client = w.client(t, 20001)
	<-dialing
	w.end(t)
	expectReset(t, client)
	w.records.expect(t, stream.Aborted, "stopped")
}

// The gateway may be reached just when the mirror goes.
func TestCutsStreamsThatWereJustOpened(t *testing.T) {
	w := newWorld(t, nil)
	dialing := make(chan struct{}, 1)
	w.gateways.fail(func(ctx context.Context) error {
		dialing <- struct{}{}
		<-ctx.Done()
		return nil
	})
	w.follow(t, newMirror(), newLink())
	client := w.client(t, 20001)
	<-dialing
	w.table.DeleteService("shop", "web-east")
	expectReset(t, client)
	w.gateways.expectCut(t)
	w.records.expect(t, stream.Aborted, "withdrawn")
}

// A gateway that neither answers nor refuses is not waited for longer than a client would.
func TestDoesNotWaitForEverForAGateway(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.ConnectTimeout = 10 * time.Millisecond })
	w.gateways.fail(func(ctx context.Context) error {
		<-ctx.Done()
		return &tunnel.DialError{Step: tunnel.StepConnect, Err: ctx.Err()}
	})
	w.follow(t, newMirror(), newLink())
	w.expectTurnedAway(t, 20001)
	w.records.expect(t, stream.Failed, stream.ReasonTimeout)
}

// GW-12: beyond its limit an egress refuses at once, with a reason of its own, and does not grow.
func TestRefusesMoreThanItsLimit(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxConnections = 2 })
	w.follow(t, newMirror(), newLink())
	first, second := w.client(t, 20001), w.client(t, 20001)
	exchange(t, first, "one", "192.0.2.10")
	exchange(t, second, "two", "192.0.2.10")
	w.expectTurnedAway(t, 20001)
	w.records.expect(t, stream.Refused, "full")
	_ = first.Close()
	w.records.expect(t, stream.Done, "")
	exchange(t, w.client(t, 20001), "three", "192.0.2.10")
	exchange(t, second, "still", "192.0.2.10")
}

// And one client address may not take it all.
func TestRefusesMoreThanAClientsLimit(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxClientConnections = 1 })
	w.follow(t, newMirror(), newLink())
	first := w.client(t, 20001)
	exchange(t, first, "one", "192.0.2.10")
	w.expectTurnedAway(t, 20001)
	w.records.expect(t, stream.Refused, "client_full")
	exchange(t, first, "still", "192.0.2.10")
}

// A client that is cut off is told apart from one that ended.
func TestPassesOnAnAbort(t *testing.T) {
	w := newWorld(t, nil)
	w.follow(t, newMirror(), newLink())
	client := w.client(t, 20001)
	exchange(t, client, "one", "192.0.2.10")
	if err := client.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	w.gateways.expectCut(t)
	w.records.expect(t, stream.Aborted, stream.ReasonReset)
}

// OBS: bytes of a long stream are counted while it lasts, and once.
func TestCountsBytesOfStreamsThatLast(t *testing.T) {
	w := newWorld(t, nil)
	w.gateways.silent = true
	w.follow(t, newMirror(), newLink())
	client := w.client(t, 20001)
	if _, err := client.Write(make([]byte, 3*countedBytes)); err != nil {
		t.Fatal(err)
	}
	soon(t, func() error {
		w.records.mu.Lock()
		defer w.records.mu.Unlock()
		if w.records.bytes < 2*countedBytes {
			return fmt.Errorf("%d bytes are counted", w.records.bytes)
		}
		return nil
	})
	_ = client.Close()
	rec := w.records.expect(t, stream.Done, "")
	if rec.Sent != 3*countedBytes || rec.SentCounted != int64(w.records.bytes) || rec.SentCounted > rec.Sent || rec.ReceivedCounted != 0 {
		t.Errorf("record %+v, %d bytes were counted", rec, w.records.bytes)
	}
}

// A port that somebody else has does not keep the others, nor readiness, and is taken when it is free.
func TestRetriesPortsThatAreInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:20002")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	w := newWorld(t, nil)
	w.follow(t, newMirror(), newMirror(of("api", "east"), egressPorts("80=20002")), newLink())
	w.expectListening(t, 1, 1)
	exchange(t, w.client(t, 20001), "one", "192.0.2.10")
	if err := w.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	taken.Close()
	w.expectListening(t, 2, 0)
	exchange(t, w.client(t, 20002), "two", "192.0.2.10")
	for _, line := range []string{"Cannot listen on an egress port", "Listening on an egress port at last"} {
		if n := w.lines.count(line); n != 1 {
			t.Errorf("%q is told %d times", line, n)
		}
	}
}

// A port that could not be opened and is not wanted any more is forgotten.
func TestForgetsPortsThatAreNotWanted(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:20001")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	w := newWorld(t, nil)
	w.follow(t, newMirror(), newLink())
	w.expectListening(t, 0, 1)
	w.table.DeleteService("shop", "web-east")
	w.expectListening(t, 0, 0)
}

func TestOpensNothingBeforeEverythingIsRead(t *testing.T) {
	w := newWorld(t, nil)
	w.table.ReplaceServices([]*corev1.Service{newMirror()})
	w.expectClosed(t, 20001)
	if err := w.Ready(); err == nil {
		t.Error("ready without the Links")
	}
	w.table.SetLink(newLink())
	w.follow(t)
	exchange(t, w.client(t, 20001), "one", "192.0.2.10")
}

// Draining: nobody new comes in, who is in may finish.
func TestDrain(t *testing.T) {
	w := newWorld(t, nil)
	w.follow(t, newMirror(), newLink())
	client := w.client(t, 20001)
	exchange(t, client, "one", "192.0.2.10")
	drained := w.Drain()
	w.expectClosed(t, 20001)
	if err := w.Ready(); err == nil {
		t.Error("ready while it drains")
	}
	w.table.SetService(newMirror(of("api", "east"), egressPorts("80=20002")))
	exchange(t, client, "two", "192.0.2.10")
	select {
	case <-drained:
		t.Error("drained while a stream is open")
	default:
	}
	w.expectClosed(t, 20002)
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-drained:
	case <-time.After(patience):
		t.Error("not drained although no stream is open")
	}
	if w.Drain() != drained {
		t.Error("a second call waits for something else")
	}
	w.records.expect(t, stream.Done, "")
}

// A mirror that goes while the egress drains takes its streams along all the same.
func TestCutsWhileItDrains(t *testing.T) {
	w := newWorld(t, nil)
	w.follow(t, newMirror(), newLink())
	client := w.client(t, 20001)
	exchange(t, client, "one", "192.0.2.10")
	drained := w.Drain()
	w.table.DeleteService("shop", "web-east")
	expectReset(t, client)
	select {
	case <-drained:
	case <-time.After(patience):
		t.Error("not drained although no stream is open")
	}
	w.records.expect(t, stream.Aborted, "withdrawn")
}

func TestTheEndCutsWhatIsLeft(t *testing.T) {
	w := newWorld(t, nil)
	w.follow(t, newMirror(), newLink())
	client := w.client(t, 20001)
	exchange(t, client, "one", "192.0.2.10")
	w.end(t)
	expectReset(t, client)
	w.gateways.expectCut(t)
	w.records.expect(t, stream.Aborted, "stopped")
	<-w.Drain()
	w.expectClosed(t, 20001)
}

// Faults are told once for as long as they last, and counted.
func TestTellsOfFaultsOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.follow(t, newMirror(), newMirror(of("api", "east"), egressPorts("80=443")), newLink())
	faults := w.metrics.faults.WithLabelValues(string(CausePorts))
	if n := testutil.ToFloat64(faults); n != 1 {
		t.Errorf("%v faults are counted, want 1", n)
	}
	w.table.SetService(newMirror(egressPorts("80=20003")))
	w.expectClosed(t, 20001)
	w.table.SetService(newMirror(of("api", "east"), egressPorts("80=20004")))
	w.expectListening(t, 2, 0)
	if n := testutil.ToFloat64(faults); n != 0 {
		t.Errorf("%v faults are counted, want 0", n)
	}
	w.table.SetService(newMirror(of("api", "east"), egressPorts("80=443")))
	w.expectListening(t, 1, 0)
	if n := w.lines.count("Part of an object cannot be used"); n != 2 {
		t.Errorf("the fault is told %d times, want twice: it was mended once", n)
	}
}

// A thousand mirrors that come one by one, as the service mirror makes them, are soon listened on.
func TestFollowsAStormOfChanges(t *testing.T) {
	w := newWorld(t, nil)
	w.follow(t, newLink())
	const mirrors = 1000
	began := time.Now()
	for i := range mirrors {
		w.table.SetService(newMirror(of(fmt.Sprintf("s%d", i), "east"), egressPorts(fmt.Sprintf("80=%d", 21000+i))))
	}
	w.expectListening(t, mirrors, 0)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	exchange(t, w.client(t, 21000+mirrors-1), "last", "192.0.2.10")
	w.table.ReplaceServices(nil)
	w.expectListening(t, 0, 0)
}

// Every connection is told of when it begins and when it ends, so that what is open can be counted.
func TestRecordsAreBalanced(t *testing.T) {
	reg := prometheus.NewRegistry()
	var out bytes.Buffer
	recorder := stream.NewRecorder(stream.LogOptions{Streams: stream.LogAll}, &out, stream.NewMetrics(reg, stream.Egress))
	w := newWorld(t, nil)
	w.recorder = recorder
	w.follow(t, newMirror(), newMirror(of("api", "west"), egressPorts("80=20002")), newLink())
	exchange(t, w.client(t, 20001), "one", "192.0.2.10")
	w.expectTurnedAway(t, 20002)
	w.end(t)
	want := `
# HELP linkspan_gateway_open_streams Streams that are open, by what carries them.
# TYPE linkspan_gateway_open_streams gauge
linkspan_gateway_open_streams{side="egress",via="lane"} 0
linkspan_gateway_open_streams{side="egress",via="mux"} 0
linkspan_gateway_open_streams{side="egress",via="other"} 0
linkspan_gateway_open_streams{side="egress",via="tcp"} 0
linkspan_gateway_open_streams{side="egress",via="tls"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "linkspan_gateway_open_streams"); err != nil {
		t.Error(err)
	}
	recorder.Flush()
	for _, line := range []string{" aborted stopped ", " refused no_link "} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no line says %q:\n%s", line, out.String())
		}
	}
}
