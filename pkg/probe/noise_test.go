package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/linkspan/linkspan/pkg/link"
)

// LESSON-53: load balancers connect to gateways and hang up, all day. The verdict is not touched by
// that. By real sockets: the noise is on the same port as the probes.
func TestConnectionNoiseDoesNotMatter(t *testing.T) {
	const probes = 50
	probed := make(chan struct{}, probes)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		select {
		case probed <- struct{}{}:
		default:
		}
	}))
	defer server.Close()
	target := serverTarget(t, server, "/ready")

	var mu sync.Mutex
	var seen []State
	var g *Gateways
	g = NewGateways(Options{}, logr.Discard(), NewMetrics(prometheus.NewRegistry()), func(n link.Name) {
		addrs, _ := g.Addresses(n)
		mu.Lock()
		defer mu.Unlock()
		for _, a := range addrs {
			seen = append(seen, a.State)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := g.Start(ctx); err != nil {
			t.Errorf("Start: %v", err)
		}
	})
	running.Go(func() {
		if err := connectAndHangUp(ctx, server.Listener.Addr().String()); err != nil {
			t.Errorf("making noise: %v", err)
		}
	})
	g.Set(changedLink(testLink(target.IP.String()), func(gw *link.Gateway) {
		gw.Probe.Port, gw.Probe.Period, gw.Probe.Timeout = target.Port, 50*time.Millisecond, 50*time.Millisecond
		gw.Probe.FailureThreshold = 20 // a second of a busy test machine is no verdict
	}))

	deadline := time.After(2 * time.Minute)
	for range probes {
		select {
		case <-probed:
		case <-deadline:
			t.Fatal("the gateway was not probed often enough")
		}
	}
	cancel()
	running.Wait()
	if slices.Contains(seen, Dead) || !slices.Contains(seen, Alive) {
		t.Errorf("verdicts were %v, want Alive and never Dead", seen)
	}
}

// connectAndHangUp ends connections with a reset, which also leaves no used-up ports behind.
func connectAndHangUp(ctx context.Context, address string) error {
	var dialer net.Dialer
	for ctx.Err() == nil {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			continue // the end of ctx, or a listener that has enough for the moment
		}
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			return fmt.Errorf("connection is a %T", conn)
		}
		if err := errors.Join(tcp.SetLinger(0), tcp.Close()); err != nil {
			return err
		}
	}
	return nil
}
