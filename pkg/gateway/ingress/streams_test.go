package ingress

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// The first sentence of data: bytes both ways, half-close kept (GW-2).
func TestAStreamCarriesBytesBothWaysAndKeepsHalfClose(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		g := startGateway(t, Options{})
		// It answers only when it has everything.
		g.network.route(echoIP+":80", startApp(t, func(conn *net.TCPConn) {
			all, err := io.ReadAll(conn)
			if err == nil {
				_, _ = conn.Write(all)
			}
		}))
		data := make([]byte, 300_000)
		_, _ = rand.Read(data)
		s := g.openEcho(w, g.credentials(webClient))
		for part := range chunks(data, 40_000) {
			if _, err := s.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes came back (%v), want %d, the same", len(got), err, len(data))
		}

		line := g.expectEnd(1, stream.Done, "")
		size := int64(len(data))
		if line.Client != webClient || line.Target != "shop/echo:80" || line.Via != w.name || line.Protocol != "opaque" ||
			line.Sent != size || line.Received != size || line.Peer == "" {
			t.Errorf("the access log says %+v", line)
		}
		if line.Connect <= 0 || line.FirstByte < line.Connect || line.Duration < line.FirstByte {
			t.Errorf("connected after %v s, first byte after %v s, ended after %v s", line.Connect, line.FirstByte, line.Duration)
		}
		for _, direction := range []string{"sent", "received"} {
			if n := g.metric("linkspan_gateway_bytes_total", "direction", direction); n != float64(size) {
				t.Errorf("%v bytes were counted as %s, want %d", n, direction, size)
			}
		}
		if asked := g.network.asked(); len(asked) != 1 || asked[0] != echoIP+":80" {
			t.Errorf("dialed %q, want the Service's cluster IP", asked)
		}
	})
}

func chunks(data []byte, size int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(data) > 0 {
			n := min(size, len(data))
			if !yield(data[:n]) {
				return
			}
			data = data[n:]
		}
	}
}

// No protocol detection: the gateway waits for nothing from the client before it connects.
func TestAServerMaySpeakFirst(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		g := startGateway(t, Options{})
		g.network.route(echoIP+":80", startApp(t, greet))
		s := g.openEcho(w, g.credentials(webClient))
		expectText(t, s, "220 ready\r\n")
		say(t, s, "HELO there\r\n")
		finish(t, s)
		g.expectEnd(1, stream.Done, "")
	})
}

// The session protocol http1 is plain HTTP/1, which passes as it is.
func TestAnHTTP1StreamPassesByteForByte(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	g.serveEcho()
	s := g.open(ways()[0], g.credentials(webClient), echoName, 80, http1)
	say(t, s, "GET //a/../b?x=%zz HTTP/1.1\r\nhOsT: x\r\n\r\n")
	finish(t, s)
	if line := g.expectEnd(1, stream.Done, ""); line.Protocol != "http1" {
		t.Errorf("the access log says protocol %q", line.Protocol)
	}
}

func TestALaneCarriesOneStreamAfterTheOther(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	g.serveEcho()
	g.table.SetService(service("shop", "other", "10.96.0.8"))
	g.network.route("10.96.0.8:80", startApp(t, greet))
	conn := g.secure(g.credentials(webClient), alpnLane)
	first := beginLane(t, conn, header(echoName, 80, opaque))
	say(t, first, "one")
	finish(t, first)
	second := beginLane(t, conn, header("other.shop.svc.cluster.local", 80, opaque))
	expectText(t, second, "220 ready\r\n")
	finish(t, second)
	if line := g.expectEnd(2, stream.Done, ""); line.Target != "shop/other:80" {
		t.Errorf("the second stream was for %q", line.Target)
	}
	_ = conn.Close()
	g.expectMetric(1, "linkspan_gateway_connections_total", "result", "served")
}

func TestStreamsOfAMuxDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	g.serveEcho()
	g.table.SetService(service("shop", "hose", "10.96.0.8"))
	g.network.route("10.96.0.8:80", startApp(t, firehose))
	session := newSession(t, g.secure(g.credentials(webClient), alpnMux))
	openMux(t, session, header("hose.shop.svc.cluster.local", 80, opaque)) // nobody reads it
	s := openMux(t, session, header(echoName, 80, opaque))
	say(t, s, "still here")
	refused := openMux(t, session, header("nothing.shop.svc.cluster.local", 80, opaque))
	ways()[2].expectRefused(t, refused, 2)
	say(t, s, "and here")
	finish(t, s)
}

// A stream that was cut at one end must not look complete at the other.
func TestAnAbortIsPassedOn(t *testing.T) {
	t.Parallel()
	t.Run("to the application", func(t *testing.T) {
		t.Parallel()
		eachWay(t, func(t *testing.T, w way) {
			g := startGateway(t, Options{})
			var app witness
			g.network.route(echoIP+":80", startApp(t, app.serve))
			s := g.openEcho(w, g.credentials(webClient))
			say(t, s, "half a messa")
			abort(t, s)
			g.waitFor("the application to see the end", func() bool { return len(app.seen()) == 1 })
			if app.seen()[0] == nil {
				t.Error("the application saw an end, want a reset")
			}
			if line := g.expectStreams(1); line.Result != string(stream.Aborted) || line.Error == "" {
				t.Errorf("the access log says %+v", line)
			}
		})
	})
	t.Run("to the client", func(t *testing.T) {
		t.Parallel()
		eachWay(t, func(t *testing.T, w way) {
			g := startGateway(t, Options{})
			g.network.route(echoIP+":80", startApp(t, func(conn *net.TCPConn) {
				_, _ = io.ReadFull(conn, make([]byte, 4))
				_, _ = conn.Write([]byte("half"))
				_ = conn.SetLinger(0)
			}))
			s := g.openEcho(w, g.credentials(webClient))
			if _, err := io.WriteString(s, "what"); err != nil {
				t.Fatal(err)
			}
			expectCut(t, s)
			line := g.expectEnd(1, stream.Aborted, stream.ReasonReset)
			if line.Sent != 4 {
				t.Errorf("%d bytes were sent, want 4", line.Sent)
			}
		})
	})
}

// GW-2, and the issue: the ClusterIP for the Service, the endpoint for a hostname of a headless one.
func TestTargetsLeadToTheirAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, target string
		port         int
		want         string
	}{
		{"a Service to its cluster IP", echoName, 80, echoIP + ":80"},
		{"another port to that port", echoName, 443, echoIP + ":443"},
		{"a hostname to its endpoint, and the target port", "pod-1." + podsName, 80, "10.0.0.2:8080"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := startGateway(t, Options{})
			g.table.SetService(service("shop", "echo", echoIP, func(svc *corev1.Service) {
				svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: "tls", Port: 443, Protocol: corev1.ProtocolTCP})
			}))
			g.exportPods([2]string{"10.0.0.1", "pod-0"}, [2]string{"10.0.0.2", "pod-1"}, [2]string{"10.0.0.3", "pod-2"})
			g.network.route(c.want, startApp(t, echo))
			s := g.open(ways()[1], g.credentials(webClient), c.target, c.port, opaque)
			say(t, s, "hello")
			finish(t, s)
			if asked := g.network.asked(); len(asked) != 1 || asked[0] != c.want {
				t.Errorf("dialed %q, want %q", asked, c.want)
			}
		})
	}
}

func TestAHeadlessServiceTriesItsEndpointsInTurn(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	dead := deadPort(t)
	g.exportPods([2]string{"10.0.0.1", "a"}, [2]string{"10.0.0.2", "b"}, [2]string{"10.0.0.3", "c"})
	for _, ip := range []string{"10.0.0.1", "10.0.0.2"} {
		g.network.route(ip+":8080", dead)
	}
	g.network.route("10.0.0.3:8080", startApp(t, echo))
	s := g.open(ways()[1], g.credentials(webClient), podsName, 80, opaque)
	say(t, s, "hello")
	finish(t, s)
	g.expectEnd(1, stream.Done, "")
	failed := float64(len(g.network.asked()) - 1)
	if n := g.metric("linkspan_gateway_dial_errors_total", "reason", stream.ReasonConnectionRefused); n != failed {
		t.Errorf("%v failed connections were counted, want %v", n, failed)
	}
}
