package ingress

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// Clients that the gateway's list does not let in are strangers: what they may hold is small, and short.

// GW-12: strangers have a sixteenth of all connections, whatever their number, and leave the rest to those on the list.
func TestStrangersHaveASmallShareOfTheConnections(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		g := startGateway(t, Options{AllowClients: []string{webClient}, MaxConnections: 32})
		g.serveEcho()
		for _, client := range []string{batClient, "robin.cave.serviceaccount.identity.linkerd.cluster.local"} {
			g.secure(g.credentials(client), w.alpn)
		}
		g.waitFor("the strangers", func() bool { return len(g.clients()) == 2 })
		if conn, err := g.trySecure(g.credentials("joker.cave.serviceaccount.identity.linkerd.cluster.local"), w.alpn); err == nil {
			_, _ = io.Copy(io.Discard, conn)
		}
		g.expectMetric(1, "linkspan_gateway_connections_total", "result", "refused")
		g.expectEnd(1, stream.Denied, stream.ReasonClientNotAllowed)
		say(t, g.openEcho(w, g.credentials(webClient)), "hello")
	})
}

// clients are those of the connections that are open.
func (g *gateway) clients() []string {
	g.server.mu.Lock()
	defer g.server.mu.Unlock()
	var all []string
	for c := range g.server.conns {
		all = append(all, c.client)
	}
	return all
}

// expectConnections waits until so many are open, but not until the others end by their own deadline.
func (g *gateway) expectConnections(n float64) {
	g.Helper()
	took := measured(func() { g.expectMetric(n, "linkspan_gateway_open_connections") })
	if took > patience/2 {
		g.Errorf("it took %v", took)
	}
}

func TestADryRunHasNoStrangers(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{AllowClients: []string{webClient}, MaxConnections: 16, DryRun: true})
	g.serveEcho()
	for range 3 {
		say(t, g.openEcho(ways()[2], g.credentials(batClient)), "hello")
	}
}

// The first denial ends a stranger's connection, and is told as any other is. POL-13.
func TestAStrangersConnectionEndsWithItsFirstDenial(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		g := startGateway(t, Options{AllowClients: []string{webClient}})
		g.serveEcho()
		s := g.openEcho(w, g.credentials(batClient))
		w.expectRefused(t, s, codeDenied)
		if line := g.expectEnd(1, stream.Denied, stream.ReasonClientNotAllowed); line.Client != batClient || line.Target != "shop/echo:80" {
			t.Errorf("the access log says %+v", line)
		}
		g.expectConnections(0)
	})
}

// Nobody who is authenticated and silent holds anything for longer than the header's time, strangers not after a stream either.
func TestASilentStrangerIsGivenUp(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		g := startGateway(t, Options{AllowClients: []string{webClient}, HeaderTimeout: 100 * time.Millisecond})
		conn := g.secure(g.credentials(batClient), w.alpn)
		if w.alpn == alpnMux {
			newSession(t, conn) // it answers pings
		}
		g.expectConnections(0)
	})
}

// Who is taken off the list is a stranger from then on, and keeps no connection that was made before.
func TestWhoIsTakenOffTheListLosesItsConnections(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		list := filepath.Join(t.TempDir(), "clients")
		allow := func(clients ...string) {
			if err := os.WriteFile(list, []byte(strings.Join(clients, "\n")), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		allow(webClient, batClient)
		g := startGateway(t, Options{AllowFile: list})
		g.serveEcho()
		goes, stays := g.openEcho(w, g.credentials(batClient)), g.openEcho(w, g.credentials(webClient))
		say(t, goes, "hello")
		say(t, stays, "hello")
		if w.alpn != alpnLinkerd { // the connection is what is left
			finish(t, goes)
			g.expectEnd(1, stream.Done, "")
		}
		allow(webClient)
		g.expectConnections(1)
		say(t, stays, "still here")
	})
}
