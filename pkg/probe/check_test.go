package probe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const checkTimeout = 2 * time.Second

func checkTarget() Target {
	return Target{IP: netip.MustParseAddr("192.0.2.1"), Port: 4191, Path: "/ready", Timeout: checkTimeout}
}

// PROBE-6: an error names the step and the address. LESSON-60: whatever the other side does, a probe
// ends in time and leaves no connection behind.
func TestCheck(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	cases := map[string]struct {
		does behaviour
		// step and text are empty for success.
		step Step
		text string
	}{
		"200 with a body":          {does: alive},
		"204":                      {does: answers("HTTP/1.1 204 No Content\r\n\r\n")},
		"HTTP/1.0 until the end":   {does: answers("HTTP/1.0 200 OK\r\n\r\nready")},
		"chunked":                  {does: answers(ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")},
		"interim answers":          {does: answers("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", ok+"Content-Length: 0\r\n\r\n")},
		"endless body":             {does: repeats(ok+"\r\n", strings.Repeat("x", 1000))},
		"endless chunked body":     {does: repeats(ok+"Transfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n")},
		"body longer than we read": {does: repeats(ok+"Content-Length: 99999999\r\n\r\n", strings.Repeat("x", 1000))},

		"refused":  {refuses, StepConnect, "connection refused"},
		"SYN drop": {drops, StepTimeout, "connecting did not succeed within 2s"},

		"503":              {unavailable, StepHTTP, "status 503 Service Unavailable"},
		"503 and silence":  {hangs("HTTP/1.1 503 Nope\r\nContent-Length: 9\r\n\r\n"), StepHTTP, "status 503 Service Unavailable"},
		"endless 503":      {repeats("HTTP/1.1 503 Nope\r\n\r\n", strings.Repeat("x", 1000)), StepHTTP, "status 503 Service Unavailable"},
		"redirect":         {answers("HTTP/1.1 302 Found\r\nLocation: http://192.0.2.2/\r\nContent-Length: 0\r\n\r\n"), StepHTTP, "status 302 Found"},
		"switch protocols": {answers("HTTP/1.1 101 Switching Protocols\r\n\r\n"), StepHTTP, "status 101 Switching Protocols"},

		"closes at once":  {serves(func(net.Conn) {}), StepHTTP, "io: read/write on closed pipe"},
		"closes unasked":  {answers(), StepHTTP, "the connection was closed before the answer was complete"},
		"closes midway":   {answers(ok + "Server: x"), StepHTTP, "the connection was closed before the answer was complete"},
		"body breaks off": {answers(ok + "Content-Length: 9\r\n\r\nxx"), StepHTTP, "the answer broke off"},
		"garbage":         {answers("SSH-2.0-OpenSSH_9.9\r\n\r\n"), StepHTTP, "the answer is not HTTP"},
		"garbage header":  {answers(ok + "no colon \x1b[31m\r\n\r\n"), StepHTTP, "the answer is not HTTP"},
		"endless headers": {repeats(ok, "X-A: b\r\n"), StepHTTP, "the headers are longer than 65536 bytes"},
		"endless line":    {repeats("HTTP/1.1 200 ", "OK"), StepHTTP, "the headers are longer than 65536 bytes"},
		"endless interim": {repeats("", "HTTP/1.1 100 Continue\r\n\r\n"), StepHTTP, "the headers are longer than 65536 bytes"},
		"speaks TLS": {answers("\x15\x03\x03\x00\x02\x02\x32"), StepTLS,
			"the port speaks TLS, but probes are plain HTTP: set the Link's probe port to the gateway's probe port"},

		"silent":            {hangs(""), StepTimeout, "waiting for the answer did not succeed within 2s"},
		"silent in headers": {hangs(ok), StepTimeout, "waiting for the answer did not succeed within 2s"},
		"silent in body":    {hangs(ok + "Content-Length: 9\r\n\r\n"), StepTimeout, "reading the answer did not succeed within 2s"},
		"does not read": {serves(func(conn net.Conn) {
			_, _ = conn.Write([]byte("x")) // returns when the probe gives up
		}), StepTimeout, "sending the request did not succeed within 2s"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newNetwork()
				fake.set("192.0.2.1:4191", tc.does)
				started := time.Now()

				_, err := Check(t.Context(), fake.dial, checkTarget())

				if took := time.Since(started); took > checkTimeout {
					t.Errorf("took %v, want at most %v", took, checkTimeout)
				}
				if n := fake.opened(); n != 0 {
					t.Errorf("%d connections left open", n)
				}
				checkError(t, err, tc.step, tc.text)
			})
		})
	}
}

func checkError(t *testing.T, err error, step Step, text string) {
	t.Helper()
	checkErrorAt(t, err, "192.0.2.1:4191", step, text)
}

func checkErrorAt(t *testing.T, err error, address string, step Step, text string) {
	t.Helper()
	if step == "" {
		if err != nil {
			t.Errorf("unexpected error: %v", err)
		}
		return
	}
	probeErr, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error = %v, want an *Error", err)
	}
	if diff := cmp.Diff(step, probeErr.Step); diff != "" {
		t.Errorf("step (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(address+": "+string(step)+": "+text, err.Error()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestCheckKeepsTheCause(t *testing.T) {
	_, err := Check(t.Context(), func(ctx context.Context, _, _ string) (net.Conn, error) { return refuses(ctx) }, checkTarget())
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v does not wrap %v", err, syscall.ECONNREFUSED)
	}
}

// The end of the caller's context says nothing about the gateway.
func TestCheckCancelled(t *testing.T) {
	for name, does := range map[string]behaviour{"dialing": drops, "waiting": hangs(""), "reading": hangs("HTTP/1.1 200 OK\r\n\r\n")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newNetwork()
				fake.set("192.0.2.1:4191", does)
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				started := time.Now()

				_, err := Check(ctx, fake.dial, checkTarget())

				if _, ok := errors.AsType[*Error](err); ok || !errors.Is(err, context.Canceled) {
					t.Errorf("error = %v, want only the context's", err)
				}
				if took := time.Since(started); took != time.Second {
					t.Errorf("took %v, want to end with the context after 1s", took)
				}
				if n := fake.opened(); n != 0 {
					t.Errorf("%d connections left open", n)
				}
			})
		})
	}
}

func TestCheckMeasuresLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newNetwork()
		fake.set("192.0.2.1:4191", func(ctx context.Context) (net.Conn, error) {
			<-time.After(30 * time.Millisecond)
			return alive(ctx)
		})
		latency, err := Check(t.Context(), fake.dial, checkTarget())
		if err != nil || latency != 30*time.Millisecond {
			t.Errorf("latency = %v, error %v; want 30ms", latency, err)
		}
	})
}

// What goes over the wire, by a real server: the path with its query, no proxy, a new connection for
// each probe (CERT-16).
func TestCheckRequest(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://192.0.2.9:3128")
	connections := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections[r.RemoteAddr] = true
		if r.Method != http.MethodGet || r.RequestURI != "/ready?full=1" || !r.Close {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	defer server.Close()
	for range 3 {
		if _, err := Check(t.Context(), new(net.Dialer).DialContext, serverTarget(t, server, "/ready?full=1")); err != nil {
			t.Fatal(err)
		}
	}
	server.Close() // waits for the handlers, so the map is ours
	if len(connections) != 3 {
		t.Errorf("%d connections for 3 probes", len(connections))
	}
}

func serverTarget(t *testing.T, server *httptest.Server, path string) Target {
	t.Helper()
	addr, err := netip.ParseAddrPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return Target{IP: addr.Addr(), Port: addr.Port(), Path: path, Timeout: 30 * time.Second}
}

func TestCheckRefusesBadPaths(t *testing.T) {
	for _, path := range []string{"", "ready", "/\x00", "/%zz"} {
		target := checkTarget()
		target.Path = path
		_, err := Check(t.Context(), newNetwork().dial, target)
		if stepOf(err) != StepHTTP || errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("path %q: error = %v, want it refused before dialing", path, err)
		}
	}
}

// LESSON-60: probes that fail leave no descriptors behind.
func TestCheckDescriptorsStayFlat(t *testing.T) {
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skipf("this system does not list descriptors: %v", err)
		}
		return len(entries)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(make([]byte, 100_000)) // more than a probe reads; it may hang up
	}))
	defer server.Close()
	target := serverTarget(t, server, "/")
	dial := new(net.Dialer).DialContext

	before := descriptors()
	for range 2000 {
		if _, err := Check(t.Context(), dial, target); stepOf(err) != StepHTTP {
			t.Fatalf("error = %v, want status 503", err)
		}
	}
	// The server may need a moment for its last few.
	if after := descriptors(); after > before+20 {
		t.Errorf("%d descriptors after 2000 probes, %d before", after, before)
	}
}
