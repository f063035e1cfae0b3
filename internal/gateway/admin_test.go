package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

// SEC-6: what the admin port answers, and that it answers nothing else.
func TestAdminEndpoints(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "open_doors", Help: "Open doors."}))
	level := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { writeLine(w, "level by "+req.Method) })
	for name, c := range map[string]struct {
		method, path string
		missing      error
		code         int
		says         string
	}{
		"alive":                             {path: "/live", code: 200, says: "ok"},
		"alive although not ready":          {path: "/live", missing: errDraining, code: 200},
		"ready":                             {path: "/ready", code: 200, says: "ok"},
		"ready, asked by HEAD":              {method: "HEAD", path: "/ready", code: 200},
		"not ready, and why":                {path: "/ready", missing: errDraining, code: 503, says: "draining"},
		"not ready for a very long reason":  {path: "/ready", missing: errors.New(strings.Repeat("x", 1<<20)), code: 503, says: "xxx"},
		"metrics":                           {path: "/metrics", code: 200, says: "open_doors 0"},
		"the log level, by any method":      {method: "PUT", path: "/log-level?level=debug", code: 200, says: "level by PUT"},
		"no other method for health":        {method: "POST", path: "/ready", code: 405},
		"no other method for metrics":       {method: "DELETE", path: "/metrics", code: 405},
		"no profiles":                       {path: "/debug/pprof/", code: 404},
		"nothing at the root":               {path: "/", code: 404},
		"nothing below what there is":       {path: "/ready/x", code: 404},
		"the controller's names are others": {path: "/readyz", code: 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.method == "" {
				c.method = "GET"
			}
			answer := httptest.NewRecorder()
			req := httptest.NewRequestWithContext(t.Context(), c.method, c.path, http.NoBody)
			adminHandler(func() error { return c.missing }, registry, level).ServeHTTP(answer, req)
			if answer.Code != c.code || !strings.Contains(answer.Body.String(), c.says) {
				t.Errorf("answered %d %q, want %d with %q", answer.Code, answer.Body, c.code, c.says)
			}
			if answer.Body.Len() > 2*maxReason && !strings.HasPrefix(c.path, "/metrics") {
				t.Errorf("answered %d bytes", answer.Body.Len())
			}
		})
	}
}

// startAdmin serves on a port of its own until the test ends.
func startAdmin(t *testing.T, handler http.Handler) (address string) {
	t.Helper()
	a, err := newAdmin(t.Context(), logr.Discard(), adminFlag, "127.0.0.1:0", handler)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return a.address()
}

func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// SEC-6: a client that sends too much is refused.
func TestAdminRefusesLargeHeaders(t *testing.T) {
	t.Parallel()
	address := startAdmin(t, http.NotFoundHandler())
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = fmt.Fprintf(conn, "GET /live HTTP/1.1\r\nHost: x\r\nX-Large: %s\r\n\r\n", strings.Repeat("x", 64<<10))
	}()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _ = answer.Body.Close(); answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("answered %s, want 431", answer.Status)
	}
}

// A port that is in use is an error that names the flag, before anything runs.
func TestAdminPortInUse(t *testing.T) {
	t.Parallel()
	address := startAdmin(t, http.NotFoundHandler())
	if _, err := newAdmin(t.Context(), logr.Discard(), adminFlag, address, http.NotFoundHandler()); err == nil || !strings.Contains(err.Error(), "--admin-address") {
		t.Errorf("error is %v", err)
	}
}

// SEC-6: connections that others hold open keep no probe from its answer, and cost no more than the limit.
func TestIdleConnectionsKeepNoProbeOut(t *testing.T) {
	t.Parallel()
	address := startAdmin(t, probeHandler(func() error { return nil }))
	closed := make(chan struct{}, 2*adminMaxConnections)
	for i := range 2 * adminMaxConnections {
		conn := dialAdmin(t, address)
		if i%2 == 0 { // some say nothing, the others begin a request
			if _, err := conn.Write([]byte("GET /live HTTP/1.1\r\n")); err != nil {
				t.Fatal(err)
			}
		}
		go func() {
			_, _ = conn.Read(make([]byte, 1)) // it ends, in one way or the other
			closed <- struct{}{}
		}()
		if i >= adminMaxConnections-1 && i%16 == 0 {
			if code, body := get(t, "http://"+address+"/live"); code != http.StatusOK {
				t.Fatalf("with %d connections open, the answer is %d %s", i+1, code, body)
			}
		}
	}
	for range adminMaxConnections {
		select {
		case <-closed:
		case <-time.After(20 * time.Second):
			t.Fatal("connections beyond the limit stay open")
		}
	}
}

// The oldest connection is closed for one beyond the limit, and one that has ended is counted no more.
func TestTheOldestConnectionMakesRoom(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	few := limited(inner, 2)
	defer func() { _ = few.Close() }()
	connect := func() (here, there net.Conn) {
		t.Helper()
		there = dialAdmin(t, inner.Addr().String())
		here, err := few.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return here, there
	}
	expectClosed := func(which string, conn net.Conn) {
		t.Helper()
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the %s connection was not closed: %v", which, err)
		}
	}
	expectOpen := func(which string, here, there net.Conn) {
		t.Helper()
		if _, err := here.Write([]byte("x")); err != nil {
			t.Errorf("the %s connection: %v", which, err)
		}
		if _, err := there.Read(make([]byte, 1)); err != nil {
			t.Errorf("the %s connection: %v", which, err)
		}
	}
	_, oldest := connect()
	second, secondThere := connect()
	third, thirdThere := connect()
	expectClosed("first", oldest)
	expectOpen("second", second, secondThere)
	_, _ = third.Close(), third.Close() // the second call gives back no more room
	expectClosed("third", thirdThere)
	fourth, fourthThere := connect()
	expectOpen("second", second, secondThere)
	fifth, fifthThere := connect()
	expectClosed("second", secondThere)
	expectOpen("fourth", fourth, fourthThere)
	expectOpen("fifth", fifth, fifthThere)
}

func dialAdmin(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// SEC-6: strangers learn whether it is ready, and nothing else.
func TestProbesLearnNoReasons(t *testing.T) {
	t.Parallel()
	var missing atomic.Pointer[error]
	address := startAdmin(t, probeHandler(func() error {
		if err := missing.Load(); err != nil {
			return *err
		}
		return nil
	}))
	expect := func(path string, code int, body string) {
		t.Helper()
		if gotCode, got := get(t, "http://"+address+path); gotCode != code || got != body {
			t.Errorf("%s answered %d %q, want %d %q", path, gotCode, got, code, body)
		}
	}
	expect("/ready", http.StatusOK, "ok\n")
	secret := errors.New("the certificate of /etc/tls/tls.crt has expired")
	missing.Store(&secret)
	expect("/ready", http.StatusServiceUnavailable, "not ready\n")
	expect("/live", http.StatusOK, "ok\n")
	expect("/metrics", http.StatusNotFound, "404 page not found\n")
	expect("/log-level", http.StatusNotFound, "404 page not found\n")
}
