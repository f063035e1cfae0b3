package translate

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seenHeaders sends a request and gives the fields that the application saw.
func seenHeaders(t *testing.T, http1 bool, headers ...string) http.Header {
	t.Helper()
	seen := make(chan http.Header, 1)
	handler := func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }
	app, origProto := http2App, []string(nil)
	if http1 {
		app, origProto = http1App, []string{"l5d-orig-proto", "HTTP/1.1"}
	}
	answer := do(t, gatewayTo(t, app(t, handler)).client(t), newRequest(t, "GET", "/", nil, append(headers, origProto...)...))
	if answer.status != 200 {
		t.Fatalf("got %+v", answer)
	}
	return within(t, seen, "the request")
}

const element = "by=" + gatewayID + ";for=" + clientID + ";host=\"" + authority + "\";proto=https"

func TestTheApplicationSeesWhoCalls(t *testing.T) {
	for name, c := range map[string]struct {
		sent []string
		want http.Header
	}{
		"and nothing else that the client did not send": {nil, http.Header{}},
		"whatever the client says": {
			[]string{"l5d-client-id", "admin.example", "L5d-Client-Id", "root.example"}, http.Header{},
		},
		"whatever the client says in names that become the same variable": {
			[]string{"l5d_client_id", "admin.example", "L5D_Client-Id", "root.example", "l5d.client.id", "a", "l5d_client_id2", "b"},
			http.Header{"L5d_client_id2": {"b"}},
		},
		"after what other proxies have added": {
			[]string{"Forwarded", `for=192.0.2.1;by="_a,;\"b"`, "Forwarded", "for=10.0.0.1:80"},
			http.Header{"Forwarded": {`for=192.0.2.1;by="_a,;\"b"`, "for=10.0.0.1:80", element}},
		},
		"and not what cannot be read": {
			[]string{"Forwarded", `for=192.0.2.1;host="open`}, http.Header{"Forwarded": {element}},
		},
		"and what is the client's own": {
			[]string{
				"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Host", "a", "X-Forwarded-Proto", "b", "User-Agent", "curl",
				"Accept-Encoding", "br", "Cookie", "a=b; c=d", "X-Twice", "1", "X-Twice", "2", "X-Empty", "",
				"Proxy-Authorization", "Basic x", "l5d-dst-override", "c", "Via", "1.1 d",
			},
			http.Header{
				"X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Host": {"a"}, "X-Forwarded-Proto": {"b"}, "User-Agent": {"curl"},
				"Accept-Encoding": {"br"}, "Cookie": {"a=b; c=d"}, "X-Twice": {"1", "2"}, "X-Empty": {""},
				"Proxy-Authorization": {"Basic x"}, "L5d-Dst-Override": {"c"}, "Via": {"1.1 d"},
			},
		},
	} {
		for _, http1 := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, HTTP/1.1 %v", name, http1), func(t *testing.T) {
				want := c.want.Clone()
				want.Set("L5d-Client-Id", clientID)
				if _, ok := want["Forwarded"]; !ok {
					want.Set("Forwarded", element)
				}
				// It splits cookies for HTTP/2, and a server joins them again: no difference to be seen.
				if diff := cmp.Diff(want, seenHeaders(t, http1, c.sent...)); diff != "" {
					t.Errorf("fields at the application (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// gRPC servers want it; for HTTP/1 it would be a field of one hop only.
func TestTETrailersIsForHTTP2Only(t *testing.T) {
	if got := seenHeaders(t, false, "TE", "trailers").Get("Te"); got != "trailers" {
		t.Errorf("HTTP/2: TE is %q", got)
	}
	if got, ok := seenHeaders(t, true, "TE", "trailers")["Te"]; ok {
		t.Errorf("HTTP/1.1: TE is %q", got)
	}
}

// LESSON-54: a request that comes back to the gateway it has passed goes no further.
func TestALoopIsFound(t *testing.T) {
	reached := make(chan struct{}, 100)
	addr := http2App(t, func(http.ResponseWriter, *http.Request) { reached <- struct{}{} })
	g := gatewayTo(t, addr)
	for name, forwarded := range map[string]string{
		"by our own element":        element,
		"after another's":           `for="_x, by=y" , ` + element,
		"before another's":          element + `, by="z"`,
		"in quotes":                 `by="` + gatewayID + `"`,
		"with escapes":              `by="\` + gatewayID + `"`,
		"in other letters":          "BY=" + strings.ToUpper(gatewayID),
		"with white space":          "for=a ; by = " + gatewayID + " ; proto=https",
		"though the rest is broken": "by=" + gatewayID + `;host="`,
	} {
		t.Run(name, func(t *testing.T) {
			answer := do(t, g.client(t), newRequest(t, "GET", "/", nil, "Forwarded", "for=a", "Forwarded", forwarded))
			if answer.status != http.StatusLoopDetected || !strings.Contains(answer.body, "passed this gateway before") {
				t.Errorf("got %+v", answer)
			}
		})
	}
	t.Run("in gRPC", func(t *testing.T) {
		r := newRequest(t, "POST", "/s/m", nil, "Forwarded", element, "Content-Type", "application/grpc")
		answer := do(t, g.client(t), r)
		if answer.status != 200 || answer.header.Get("Grpc-Status") != "10" || answer.header["Content-Length"] != nil {
			t.Errorf("got %+v", answer)
		}
	})
	if len(reached) > 0 {
		t.Error("a request reached the application")
	}
	for name, forwarded := range map[string]string{
		"for us, by another": "for=" + gatewayID + ";by=other",
		"in a value":         `by="x;by=` + gatewayID + `"`,
		"a longer name":      "by=" + gatewayID + ".evil",
	} {
		t.Run("not "+name, func(t *testing.T) {
			if answer := do(t, g.client(t), newRequest(t, "GET", "/", nil, "Forwarded", forwarded)); answer.status != 200 {
				t.Errorf("got %+v", answer)
			}
		})
	}
}

func TestAProxysChallengePasses(t *testing.T) {
	addr := http1App(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.WriteHeader(http.StatusProxyAuthRequired)
	})
	r := newRequest(t, "GET", "/", nil, "l5d-orig-proto", "HTTP/1.1; absolute-form")
	if answer := do(t, gatewayTo(t, addr).client(t), r); answer.header.Get("Proxy-Authenticate") != "Basic" {
		t.Errorf("got %+v", answer)
	}
}

// Compatibility, section 6: what carries no l5d-orig-proto was HTTP/2 at the client.
func TestARequestThatWasHTTP2StaysHTTP2(t *testing.T) {
	for _, target := range []string{"/a?b=c", "/", "*", "//a//b?", "/%61%2f{}?%zz;", "//a{}%2f"} {
		t.Run(target, func(t *testing.T) {
			seen := make(chan *http.Request, 1)
			addr := http2App(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("L5d-Orig-Proto", "HTTP/1.1") // it must not pass for one
				seen <- r
			})
			answer := do(t, gatewayTo(t, addr).client(t), newRequest(t, "OPTIONS", target, nil))
			got := within(t, seen, "the request")
			if got.Proto != "HTTP/2.0" || got.RequestURI != target || got.Host != authority {
				t.Errorf("the application got %s %q %q", got.Proto, got.RequestURI, got.Host)
			}
			if value, ok := answer.header["L5d-Orig-Proto"]; ok {
				t.Errorf("the client got l5d-orig-proto %q", value)
			}
		})
	}
}

// Nothing waits for the end of a body, in either protocol.
func TestBodiesStreamBothWaysAtOnce(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if err := control.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Length", "30") // known from the start, and yet sent as it comes
		buffer := make([]byte, 10)
		if err := control.Flush(); err != nil {
			t.Error(err)
		}
		for {
			n, err := r.Body.Read(buffer)
			if _, writeErr := w.Write(buffer[:n]); writeErr != nil {
				t.Error(writeErr)
			}
			_ = control.Flush()
			if err != nil {
				return
			}
		}
	}
	for name, c := range map[string]struct {
		app  func(testing.TB, http.HandlerFunc) string
		make func(testing.TB, string, string, io.Reader, ...string) *http.Request
	}{
		"HTTP/1.1": {http1App, upgraded},
		"HTTP/2":   {http2App, newRequest},
	} {
		t.Run(name, func(t *testing.T) {
			client := gatewayTo(t, c.app(t, echo)).client(t)
			reader, writer := io.Pipe()
			answer, err := client.Do(c.make(t, "POST", "/", reader))
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			got := make([]byte, 10)
			for i := range 3 {
				sent := fmt.Sprintf("message %02d", i)
				if _, err := io.WriteString(writer, sent); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != sent {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			_ = writer.Close()
			if rest, err := io.ReadAll(answer.Body); err != nil || len(rest) > 0 {
				t.Errorf("rest %q, %v", rest, err)
			}
		})
	}
}
