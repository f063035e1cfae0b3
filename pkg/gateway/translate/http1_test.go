package translate

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Compatibility, section 6: what was HTTP/1 at the client must arrive as HTTP/1.1, in the form it had.
func TestARequestThatWasHTTP1ArrivesAsHTTP1(t *testing.T) {
	for name, c := range map[string]struct {
		origProto, method, target string
		line                      string
	}{
		"in origin form":                                 {"HTTP/1.1", "GET", "/a?b=c", "GET /a?b=c HTTP/1.1"},
		"of version 1.0 too":                             {"HTTP/1.0", "GET", "/a", "GET /a HTTP/1.1"},
		"in absolute form":                               {"HTTP/1.1; absolute-form", "GET", "/a?b", "GET http://" + authority + "/a?b HTTP/1.1"},
		"of version 1.0 in absolute form":                {"HTTP/1.0; absolute-form", "POST", "/", "POST http://" + authority + "/ HTTP/1.1"},
		"for a path of two slashes in absolute form":     {"HTTP/1.1; absolute-form", "GET", "//a", "GET http://" + authority + "//a HTTP/1.1"},
		"for the server as a whole":                      {"HTTP/1.1", "OPTIONS", "*", "OPTIONS * HTTP/1.1"},
		"for a server as a whole, in absolute form":      {"HTTP/1.1; absolute-form", "OPTIONS", "*", "OPTIONS http://" + authority + " HTTP/1.1"},
		"with a method that nobody knows":                {"HTTP/1.1", "BREW", "/pot", "BREW /pot HTTP/1.1"},
		"with an empty query":                            {"HTTP/1.1", "GET", "/a?", "GET /a? HTTP/1.1"},
		"with a query that cannot be parsed":             {"HTTP/1.1", "GET", "/?a;b=%zz&%", "GET /?a;b=%zz&% HTTP/1.1"},
		"with escapes that need not be":                  {"HTTP/1.1", "GET", "/%61%2f%2F%41", "GET /%61%2f%2F%41 HTTP/1.1"},
		"with dots":                                      {"HTTP/1.1", "GET", "/a/../b/./%2e%2e/c", "GET /a/../b/./%2e%2e/c HTTP/1.1"},
		"with characters that should have been escaped":  {"HTTP/1.1", "GET", "/{a}|\"<>^`\\?[]{}", "GET /{a}|\"<>^`\\?[]{} HTTP/1.1"},
		"with letters beyond ASCII":                      {"HTTP/1.1", "GET", "/ä", "GET /ä HTTP/1.1"},
		"with a path of two slashes":                     {"HTTP/1.1", "GET", "//a/%2f/b?c", "GET //a/%2f/b?c HTTP/1.1"},
		"with slashes only":                              {"HTTP/1.1", "GET", "///", "GET /// HTTP/1.1"},
		"with a path that looks like an authority":       {"HTTP/1.1", "GET", "//evil.example:80/x?", "GET //evil.example:80/x? HTTP/1.1"},
		"with two slashes and what must be escaped then": {"HTTP/1.1", "GET", "//a%2Fb{c}?{", "GET //a%2Fb%7Bc%7D?{ HTTP/1.1"},
		"with a path that looks like a URL":              {"HTTP/1.1", "GET", "/http://x/", "GET /http://x/ HTTP/1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			addr, arrivals := recorderApp(t, plainAnswer)
			client := gatewayTo(t, addr).client(t)

			answer := do(t, client, newRequest(t, c.method, c.target, nil, "l5d-orig-proto", c.origProto))

			if answer.status != 200 || answer.body != "ok" {
				t.Fatalf("got %+v", answer)
			}
			got := within(t, arrivals, "the request")
			if got.line != c.line {
				t.Errorf("got %q, want %q", got.line, c.line)
			}
			if got.request.Host != authority {
				t.Errorf("Host is %q, want %q", got.request.Host, authority)
			}
			if values, ok := got.request.Header["L5d-Orig-Proto"]; ok {
				t.Errorf("l5d-orig-proto reached the application: %q", values)
			}
		})
	}
}

func TestOtherValuesOfOrigProtoAreRefused(t *testing.T) {
	for _, value := range []string{"", "HTTP/2.0", "HTTP/1.2", "http/1.1", "HTTP/1.1; absolute", "HTTP/1.1;", "HTTP/1.1, HTTP/1.0", "HTTP/1.1 ; absolute-form"} {
		t.Run(value, func(t *testing.T) {
			addr, arrivals := recorderApp(t, plainAnswer)
			g := gatewayTo(t, addr)

			answer := do(t, g.client(t), newRequest(t, "GET", "/", nil, "l5d-orig-proto", value))

			if answer.status != http.StatusBadRequest || !strings.Contains(answer.body, "l5d-orig-proto must be") {
				t.Errorf("got %+v", answer)
			}
			if len(arrivals) > 0 {
				t.Error("the request reached the application")
			}
		})
	}
	t.Run("given twice", func(t *testing.T) {
		addr, _ := recorderApp(t, plainAnswer)
		r := upgraded(t, "GET", "/", nil, "l5d-orig-proto", "HTTP/1.0")
		if answer := do(t, gatewayTo(t, addr).client(t), r); answer.status != http.StatusBadRequest {
			t.Errorf("got %+v", answer)
		}
	})
}

func TestTheAnswerSaysWhichHTTPItWas(t *testing.T) {
	for name, c := range map[string]struct{ answer, want string }{
		"1.1":                            {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1"},
		"1.0":                            {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.0"},
		"1.1, whatever it says itself":   {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nL5d-Orig-Proto: HTTP/9\r\n\r\nok", "HTTP/1.1"},
		"1.1, with a body until its end": {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", "HTTP/1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			addr := rawApp(t, func(conn net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.WriteString(conn, c.answer)
				}
			})
			answer := do(t, gatewayTo(t, addr).client(t), upgraded(t, "GET", "/", nil))
			if got := answer.header.Values("L5d-Orig-Proto"); answer.body != "ok" || !cmp.Equal(got, []string{c.want}) {
				t.Errorf("got %q, l5d-orig-proto %q, want %q", answer.body, got, c.want)
			}
		})
	}
}

func TestHopByHopFieldsOfAnswersStayBehind(t *testing.T) {
	addr, _ := recorderApp(t, "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Private\r\nKeep-Alive: timeout=5\r\n"+
		"X-Private: a\r\nX-Public: b\r\nProxy-Connection: c\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
	client := gatewayTo(t, addr).client(t)
	for range 2 { // the connection to the client goes on, whatever the application's does
		answer := do(t, client, upgraded(t, "GET", "/", nil))
		answer.header.Del("Date")
		want := http.Header{"X-Public": {"b"}, "L5d-Orig-Proto": {"HTTP/1.1"}}
		if diff := cmp.Diff(want, answer.header); diff != "" || answer.body != "ok" {
			t.Errorf("body %q, headers (-want +got):\n%s", answer.body, diff)
		}
	}
}

func TestTheApplicationClosingItsConnectionDoesNotCloseTheClients(t *testing.T) {
	addr, _ := recorderApp(t, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
	g := gatewayTo(t, addr)
	client := g.client(t)
	for range 3 {
		if answer := do(t, client, upgraded(t, "GET", "/", nil)); answer.body != "ok" {
			t.Fatalf("got %+v", answer)
		}
	}
	if got := g.endedBy(t, client); got.result.Requests != 3 || got.err != nil {
		t.Errorf("the first connection ended with %+v, want all 3 requests on it", got)
	}
}

// Interim answers pass, without what HTTP/2 forbids in them.
func TestEarlyHintsReachTheClient(t *testing.T) {
	addr, _ := recorderApp(t, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: close\r\nKeep-Alive: a\r\n"+
		"Proxy-Connection: b\r\nUpgrade: c\r\nL5d-Orig-Proto: d\r\n\r\n"+plainAnswer)
	hints := make(chan http.Header, 1)
	r := upgraded(t, "GET", "/", nil)
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
			hints <- http.Header(header).Clone()
			return nil
		},
	}))
	answer := do(t, gatewayTo(t, addr).client(t), r)
	if diff := cmp.Diff(http.Header{"Link": {"</a.css>"}}, within(t, hints, "the hints")); diff != "" || answer.body != "ok" {
		t.Errorf("final answer %+v, hints (-want +got):\n%s", answer, diff)
	}
}

func TestNothingIsInventedInAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"a body without a type":         "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 15\r\n\r\n<html>hi</html>",
		"a body without a type, hinted": "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 15\r\n\r\n<html>hi</html>",
		"no body":                       "HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n",
		"an empty body":                 "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 0\r\n\r\n",
		"an empty body in no chunks":    "HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			addr, _ := recorderApp(t, answer)
			got := do(t, gatewayTo(t, addr).client(t), upgraded(t, "GET", "/", nil)).header
			got.Del("L5d-Orig-Proto")
			want := http.Header{"Date": {"x"}}
			if _, value, ok := strings.Cut(answer, "Content-Length: "); ok {
				want.Set("Content-Length", strings.SplitN(value, "\r", 2)[0])
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
}

// How much of an answer is written before its head is sent is a matter of luck. This is the worst case.
func TestNothingIsInventedInAnswersThatAreWrittenAtOnce(t *testing.T) {
	addr := http2App(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", "x")
		w = answerWriter{w}
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "<html>hi</html>")
	})
	answer := do(t, (&rig{addr: addr}).client(t), newRequest(t, "GET", "/", nil))
	if diff := cmp.Diff(http.Header{"Date": {"x"}}, answer.header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestAnAnswerToHEADKeepsItsLength(t *testing.T) {
	addr := http1App(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "123456") })
	answer := do(t, gatewayTo(t, addr).client(t), upgraded(t, "HEAD", "/", nil))
	if answer.length != 123456 || answer.body != "" {
		t.Errorf("got %+v", answer)
	}
}

func TestTrailersPassBothWays(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Announced")
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body)
		w.Header().Set("X-Announced", r.Trailer.Get("X-Sum"))
		if len(r.Trailer) != 1 {
			t.Errorf("the application got the trailers %v", r.Trailer)
		}
		w.Header().Set(http.TrailerPrefix+"X-Sudden", "b")
	}
	for name, c := range map[string]struct {
		app  func(testing.TB, http.HandlerFunc) string
		make func(testing.TB, string, string, io.Reader, ...string) *http.Request
	}{
		"of HTTP/1.1": {http1App, upgraded},
		"of HTTP/2":   {http2App, newRequest},
	} {
		t.Run(name, func(t *testing.T) {
			client := gatewayTo(t, c.app(t, handler)).client(t)
			r := c.make(t, "POST", "/", io.MultiReader(strings.NewReader("hello")))
			r.Trailer = http.Header{"X-Sum": {"42"}, "L5d-Client-Id": {"admin.example"}, "L5d_client_id": {"admin.example"}}
			answer := do(t, client, r)
			want := http.Header{"X-Announced": {"42"}, "X-Sudden": {"b"}}
			if diff := cmp.Diff(want, answer.trailer); diff != "" || answer.body != "hello" {
				t.Errorf("body %q, trailers (-want +got):\n%s", answer.body, diff)
			}
		})
	}
}

// The server answers the expectation itself, when the application is there to take the body.
func TestAnExpectationIsMet(t *testing.T) {
	t.Run("when the application reads", func(t *testing.T) {
		addr := http1App(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
		r := upgraded(t, "POST", "/", strings.NewReader("hello"), "Expect", "100-continue")
		if answer := do(t, gatewayTo(t, addr).client(t), r); answer.status != 200 || answer.body != "hello" {
			t.Errorf("got %+v", answer)
		}
	})
	t.Run("not when there is no application", func(t *testing.T) {
		r := upgraded(t, "POST", "/", failingReader{t}, "Expect", "100-continue")
		client := gatewayTo(t, unusedAddress(t)).client(t)
		transport, ok := client.Transport.(*http.Transport)
		if !ok {
			t.Fatal("not a transport")
		}
		transport.ExpectContinueTimeout = patience
		if answer := do(t, client, r); answer.status != http.StatusServiceUnavailable {
			t.Errorf("got %+v", answer)
		}
	})
}

// failingReader is a body that nobody must ask for.
type failingReader struct{ t *testing.T }

func (f failingReader) Read([]byte) (int, error) {
	f.t.Error("the body was sent")
	return 0, errors.New("not to be read")
}

// unusedAddress is one that refuses connections.
func unusedAddress(t testing.TB) string {
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

func TestEachConnectionToTheApplicationIsUsedAgain(t *testing.T) {
	conns := make(chan string, 100)
	addr := http1App(t, func(_ http.ResponseWriter, r *http.Request) { conns <- r.RemoteAddr })
	client := gatewayTo(t, addr).client(t)
	for range 3 {
		do(t, client, upgraded(t, "GET", "/", nil))
	}
	first := <-conns
	for range 2 {
		if again := <-conns; again != first {
			t.Errorf("a request came from %s after one from %s", again, first)
		}
	}
}

// Clients are kept apart: no request of one travels on a connection that another opened.
func TestTwoClientsShareNoConnectionToTheApplication(t *testing.T) {
	conns := make(chan string, 2)
	addr := http2App(t, func(_ http.ResponseWriter, r *http.Request) { conns <- r.RemoteAddr })
	g := gatewayTo(t, addr)
	do(t, g.client(t), newRequest(t, "GET", "/", nil))
	do(t, g.client(t), newRequest(t, "GET", "/", nil))
	if a, b := <-conns, <-conns; a == b {
		t.Errorf("both came from %s", a)
	}
}
