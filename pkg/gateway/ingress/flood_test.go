package ingress

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// LESSON-53, and the issue: TCP connects that close at once are neither errors nor log lines, and leave nothing.
// It does not run beside others, because it counts goroutines and memory.
func TestAFloodOfConnectsThatCloseAtOnceLeavesNothing(t *testing.T) {
	const batch = 5_000
	connects := 100_000
	if testing.Short() {
		connects = batch
	}
	g := startGateway(t, Options{MaxHandshakes: 10_000})
	g.serveEcho()
	config := g.credentials(webClient)
	s := g.secure(config, alpnLinkerd)
	beginPlain(t, s, header(echoName, 80, opaque))
	say(t, s, "before")
	g.flood(1_000) // what is made once is made now
	g.waitFor("the first connections to end", func() bool { return g.metric("linkspan_gateway_open_connections") == 1 })
	goroutines, heap := runtime.NumGoroutine(), heapInUse()

	for range connects / batch {
		g.flood(batch)
		if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		say(t, s, "meanwhile")
	}
	g.expectMetric(float64(connects+1_000), "linkspan_gateway_connections_total")
	if unused := g.metric("linkspan_gateway_connections_total", "result", "unused"); unused != float64(connects+1_000) {
		t.Errorf("%v of %d connections were counted as unused", unused, connects+1_000)
	}
	if n := g.metric("linkspan_gateway_handshake_failures_total"); n != 0 {
		t.Errorf("%v handshakes were counted as failed", n)
	}
	g.expectSilence()
	g.waitFor("the goroutines to be gone", func() bool { return runtime.NumGoroutine() <= goroutines+5 })
	if grown := heapInUse() - heap; grown > 8<<20 {
		t.Errorf("%d connections left %d bytes", connects, grown)
	}
	finish(t, s)
}

// flood connects, and closes: every eighth connection in good order, the others by a reset, which
// keeps the client's ports free.
func (g *gateway) flood(connects int) {
	g.Helper()
	var left atomic.Int64
	left.Store(int64(connects))
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				conn, err := g.dial()
				if err != nil {
					g.Errorf("connecting: %v", err)
					return
				}
				if n%8 != 0 {
					_ = conn.SetLinger(0)
				}
				_ = conn.Close()
			}
		})
	}
	clients.Wait()
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
