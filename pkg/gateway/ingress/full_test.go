package ingress

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// GW-12: limits of connections and streams, in all and for each client, each with its own reason.

func TestTheLimitOfStreamsRefusesWithItsReason(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		o      Options
		second string // the client of the stream that is one too many
		reason string
	}{
		{"in all", Options{MaxStreams: 2}, batClient, stream.ReasonFull},
		{"of one client", Options{MaxClientStreams: 2}, webClient, stream.ReasonClientFull},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachWay(t, func(t *testing.T, w way) {
				g := startGateway(t, c.o)
				g.serveEcho()
				var open []far
				for range 2 {
					s := g.openEcho(w, g.credentials(webClient))
					say(t, s, "hello")
					open = append(open, s)
				}
				w.expectRefused(t, g.openEcho(w, g.credentials(c.second)), codeFull)
				line := g.expectEnd(1, stream.Refused, c.reason)
				if line.Client != c.second || line.Target != "shop/echo:80" {
					t.Errorf("the access log says %+v", line)
				}
				if !strings.Contains(g.log.text(), c.reason) {
					t.Errorf("the log says %s", g.log.text())
				}
				// The others go on, and a place that is given back is there for the next.
				say(t, open[1], "still here")
				finish(t, open[0])
				g.expectEnd(2, stream.Done, "")
				s := g.openEcho(w, g.credentials(c.second))
				say(t, s, "now there is room")
				finish(t, s)
				g.expectEnd(3, stream.Done, "")
			})
		})
	}
}

func TestAMuxRefusesTheStreamThatIsOneTooManyWithItsReason(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{MaxClientStreams: 2})
	g.serveEcho()
	session := newSession(t, g.secure(g.credentials(webClient), alpnMux))
	for range 2 {
		say(t, openMux(t, session, header(echoName, 80, opaque)), "hello")
	}
	ways()[2].expectRefused(t, openMux(t, session, header(echoName, 80, opaque)), codeFull)
	g.expectEnd(1, stream.Refused, stream.ReasonClientFull)
}

func TestTheLimitOfConnectionsRefusesWithItsReason(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		o      Options
		second string
		reason string
	}{
		{"in all", Options{MaxConnections: 2}, batClient, stream.ReasonFull},
		{"of one client", Options{MaxClientConnections: 2}, webClient, stream.ReasonClientFull},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachWay(t, func(t *testing.T, w way) {
				g := startGateway(t, c.o)
				g.serveEcho()
				var open []far
				for range 2 {
					s := g.openEcho(w, g.credentials(webClient))
					say(t, s, "hello")
					open = append(open, s)
				}
				if conn, err := g.trySecure(g.credentials(c.second), w.alpn); err == nil {
					_, _ = io.Copy(io.Discard, conn)
				}
				g.expectMetric(1, "linkspan_gateway_connections_total", "result", "refused")
				if line := g.expectEnd(1, stream.Refused, c.reason); line.Client != c.second || line.Via != w.name {
					t.Errorf("the access log says %+v", line)
				}
				say(t, open[1], "still here")
				_ = open[0].Close()
				if m, ok := open[0].(farMux); ok {
					_ = m.session.Close()
				}
				g.expectMetric(2, "linkspan_gateway_connections_total") // the one that was refused is the other
				s := g.openEcho(w, g.credentials(c.second))
				say(t, s, "now there is room")
			})
		})
	}
}

// An export gateway serves several clusters: one that floods it must not shut the others out.
func TestOneClientThatIsFullDoesNotShutOutAnother(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{MaxClientConnections: 3, MaxClientStreams: 3, MaxConnections: 6, MaxStreams: 6})
	g.serveEcho()
	greedy, modest := g.credentials(batClient), g.credentials(webClient)
	lane := ways()[1]
	for range 3 {
		say(t, g.openEcho(lane, greedy), "mine")
	}
	for i := range 10 {
		if conn, err := g.trySecure(greedy, alpnLane); err == nil {
			_, _ = io.Copy(io.Discard, conn)
		}
		g.expectStreams(i + 1)
		s := g.openEcho(lane, modest)
		say(t, s, "hello")
		finish(t, s)
		_ = s.Close()
		g.expectStreams(i + 2)
		g.access.Reset()
		for range i + 1 { // so that the count goes on
			g.access.WriteString("{}\n")
		}
	}
}

// What comes when even waiting has no room is turned away before it costs a goroutine.
func TestWithoutAnyRoomConnectionsAreTurnedAway(t *testing.T) {
	t.Parallel()
	// No handshake has a grace: a new one would be let in, if there were room for another connection.
	g := startGateway(t, Options{MaxConnections: 1, MaxHandshakes: 1}, func(g *gateway) { g.server.handshakes.grace = 0 })
	g.serveEcho()
	say(t, g.openEcho(ways()[0], g.credentials(webClient)), "hello")
	g.connect()
	g.waitFor("the handshake", func() bool { return g.handshakesUnderWay() == 1 })
	g.expectTurnedAway()
	g.expectMetric(1, "linkspan_gateway_connections_total", "result", "refused")
	g.expectMetric(1, "linkspan_gateway_handshake_failures_total", "reason", "full")
	g.expectMetric(2, "linkspan_gateway_open_connections")
}

// GW-12: a stream of HTTP/2 is no way around the limits of streams: each request that runs beside another counts as one.
func TestRequestsOfAStreamCountAsStreams(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		o      Options
		reason string
	}{
		{Options{MaxStreams: 2}, stream.ReasonFull},
		{Options{MaxClientStreams: 2}, stream.ReasonClientFull},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			g := startGateway(t, c.o)
			begun, letGo := make(chan struct{}, 3), make(chan struct{})
			g.serveHTTP(pending(begun, letGo), speaksHTTP1)
			client := g.httpClient(echoName)
			ask := func() *http.Request { return g.request(http.MethodGet, "", "l5d-orig-proto", "HTTP/1.1") }
			answers := make(chan answer, 2)
			for range 2 {
				go func() {
					a, _ := fetch(client, ask())
					answers <- a
				}()
				within(t, begun, "the request")
			}
			if a := g.expectAnswer(client, ask()); a.status != http.StatusServiceUnavailable {
				t.Errorf("one too many got %+v", a)
			}
			if line := g.expectEnd(1, stream.Refused, c.reason); line.Client != webClient || line.Target != "shop/echo:80" || line.Protocol != "http2" {
				t.Errorf("the access log says %+v", line)
			}
			close(letGo)
			for range 2 {
				if a := within(t, answers, "the answer"); a.status != http.StatusOK {
					t.Errorf("got %+v", a)
				}
			}
			if a := g.expectAnswer(client, ask()); a.status != http.StatusOK {
				t.Errorf("now there is room, and it got %+v", a)
			}
		})
	}
}
