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
	"strings"
	"sync"
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
	a, err := newAdmin(t.Context(), logr.Discard(), "127.0.0.1:0", handler)
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
	if _, err := newAdmin(t.Context(), logr.Discard(), address, http.NotFoundHandler()); err == nil || !strings.Contains(err.Error(), "--admin-address") {
		t.Errorf("error is %v", err)
	}
}

// SEC-6: idle connections to the admin port cannot use up what streams need, and when they end there is
// room again.
func TestConnectionsBeyondTheLimitAreClosed(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	few := limited(listener, 2)
	accepted := make(chan net.Conn)
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := few.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	})
	dial := func() net.Conn {
		t.Helper()
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	dial()
	first := <-accepted
	dial()
	second := <-accepted
	if _, err := dial().Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the third connection was not closed: %v", err)
	}
	_, _ = first.Close(), first.Close() // the second call gives back no more room
	dial()
	third := <-accepted
	if _, err := dial().Read(make([]byte, 1)); err == nil {
		t.Error("a connection beyond the limit was not closed after one had ended")
	}
	_, _, _ = second.Close(), third.Close(), few.Close()
	accepting.Wait()
}
