package ingress

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/translate"
)

// What a Linkerd proxy sends for HTTP: one connection of HTTP/2 with prior knowledge behind the header.

// httpClient is a client of a target that uses one connection as long as that lasts.
func (g *gateway) httpClient(name string) *http.Client {
	g.Helper()
	config := g.credentials(webClient)
	config.NextProtos = []string{alpnLinkerd}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols: &protocols, DisableCompression: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			raw, err := new(net.Dialer).DialContext(ctx, network, g.server.Addr().String())
			if err != nil {
				return nil, err
			}
			conn := tls.Client(raw, config)
			if _, err := conn.Write(header(name, 80, http2)); err != nil {
				raw.Close()
				return nil, err
			}
			return conn, nil
		},
	}
	g.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// serveHTTP puts an HTTP server behind shop/echo.
func (g *gateway) serveHTTP(handler http.HandlerFunc, speaks func(*http.Protocols)) {
	g.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	speaks(server.Config.Protocols)
	server.Start()
	g.Cleanup(server.Close)
	g.network.route(echoIP+":80", server.Listener.Addr())
}

func speaksHTTP1(p *http.Protocols) { p.SetHTTP1(true) }
func speaksHTTP2(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }

// request makes a request for shop/echo. Headers are names and values in turn.
func (g *gateway) request(method, body string, headers ...string) *http.Request {
	g.Helper()
	r, err := http.NewRequestWithContext(g.Context(), method, "http://"+echoName+"/path", strings.NewReader(body))
	if err != nil {
		g.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// answer is a whole answer.
type answer struct {
	status          int
	body            string
	header, trailer http.Header
}

// fetch sends a request and reads the answer.
func fetch(client *http.Client, r *http.Request) (answer, error) {
	got, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = got.Body.Close() }()
	body, err := io.ReadAll(got.Body)
	return answer{got.StatusCode, string(body), got.Header, got.Trailer}, err
}

// expectAnswer is fetch where there must be an answer.
func (g *gateway) expectAnswer(client *http.Client, r *http.Request) answer {
	g.Helper()
	a, err := fetch(client, r)
	if err != nil {
		g.Fatal(err)
	}
	return a
}

func TestARequestThatWasHTTP1ArrivesAsHTTP1(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	g.serveHTTP(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Proto+" "+r.Host+" "+r.URL.Path+" "+r.Header.Get("l5d-client-id")+" "+string(body))
	}, speaksHTTP1)
	client := g.httpClient(echoName)
	a := g.expectAnswer(client, g.request(http.MethodPost, "hello", "l5d-orig-proto", "HTTP/1.1"))
	if want := "HTTP/1.1 " + echoName + " /path " + webClient + " hello"; a.status != http.StatusOK || a.body != want {
		t.Errorf("%d %q, want %q", a.status, a.body, want)
	}
	client.CloseIdleConnections()
	line := g.expectEnd(1, stream.Done, "")
	if line.Protocol != "http2" || line.Client != webClient || line.Target != "shop/echo:80" || line.Sent == 0 || line.Received == 0 || line.Connect <= 0 {
		t.Errorf("the access log says %+v", line)
	}
	for direction, want := range map[string]int64{"sent": line.Sent, "received": line.Received} {
		g.expectMetric(float64(want), "linkspan_gateway_bytes_total", "direction", direction)
	}
}

// A unary call as gRPC makes it: HTTP/2 to the end, a message with its prefix, the status in the trailers.
func TestAUnaryCallOfGRPCPasses(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	g.serveHTTP(func(w http.ResponseWriter, r *http.Request) {
		message, err := io.ReadAll(r.Body)
		if err != nil || r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" || r.Header.Get("Content-Type") != "application/grpc" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		_, _ = w.Write(message)
		w.Header().Set("Grpc-Status", "0")
		w.Header().Set("Grpc-Message", "fine")
	}, speaksHTTP2)
	message := "\x00\x00\x00\x00\x05hello"
	a := g.expectAnswer(g.httpClient(echoName), g.request(http.MethodPost, message, "Content-Type", "application/grpc", "Te", "trailers"))
	if a.status != http.StatusOK || a.body != message || a.trailer.Get("Grpc-Status") != "0" || a.trailer.Get("Grpc-Message") != "fine" {
		t.Errorf("%d %q, trailers %v", a.status, a.body, a.trailer)
	}
}

func TestHTTPDoesNotOpenWhatIsClosed(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{}, exportAll)
	if a, err := fetch(g.httpClient("private.shop.svc.cluster.local"), g.request(http.MethodGet, "")); err == nil {
		t.Errorf("an answer came: %+v", a)
	}
	g.waitFor("a refusal", func() bool { return len(g.logged()) > 0 })
	if line := g.logged()[0]; line.Result != string(stream.Refused) || line.Reason != "not_exported" || line.Protocol != "http2" {
		t.Errorf("the access log says %+v", line)
	}
	if asked := g.network.asked(); len(asked) > 0 {
		t.Errorf("dialed %q", asked)
	}
}

// The answer of the gateway itself says what is wrong, and nothing of this cluster's inside.
func TestAnHTTPApplicationThatCannotBeReachedGivesAnAnswerWithoutSecrets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		status  int
		prepare func(*gateway)
	}{
		{"nobody listens", http.StatusServiceUnavailable, func(g *gateway) { g.network.route("10.0.0.1:8080", deadPort(g.T)) }},
		{"nobody answers", http.StatusGatewayTimeout, func(*gateway) {}},
		{"the endpoints go while it is connected", http.StatusBadGateway, func(g *gateway) {
			g.network.route("10.0.0.1:8080", deadPort(g.T))
			g.network.each = func(string) { g.exportPods() }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := startGateway(t, Options{ConnectTimeout: 100 * time.Millisecond})
			g.exportPods([2]string{"10.0.0.1", "pod-0"})
			c.prepare(g)
			client := g.httpClient(podsName)
			a := g.expectAnswer(client, g.request(http.MethodGet, "", "l5d-orig-proto", "HTTP/1.1"))
			if g.network.each != nil { // it is the second request that finds none
				a = g.expectAnswer(client, g.request(http.MethodGet, "", "l5d-orig-proto", "HTTP/1.1"))
			}
			if a.status != c.status {
				t.Errorf("answered %d %q, want %d", a.status, a.body, c.status)
			}
			for _, secret := range []string{"10.0.0.1", "8080", "export", "label", "shop"} {
				if text := a.body + a.header.Get("l5d-proxy-error"); strings.Contains(text, secret) {
					t.Errorf("the answer tells of %q: %s", secret, text)
				}
			}
			client.CloseIdleConnections()
			g.expectEnd(1, stream.Done, "")
			if n := g.metric("linkspan_gateway_dial_errors_total"); n != 1 {
				t.Errorf("%v failed connections were counted, want 1", n)
			}
		})
	}
}

// The time that HTTP has for connecting is shared by the endpoints.
func TestHTTPTriesTheNextEndpointInTime(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{HTTP: translate.Limits{ConnectTimeout: 1500 * time.Millisecond}})
	g.serveHTTP(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }, speaksHTTP1)
	g.network.mu.Lock()
	g.network.routes["10.0.0.1:8080"] = g.network.routes[echoIP+":80"]
	g.network.mu.Unlock()
	// The first in turn is a black hole as a rule, because only one of the three is none.
	g.exportPods([2]string{"10.0.0.1", "a"}, [2]string{"10.0.0.2", "b"}, [2]string{"10.0.0.3", "c"})
	for range 3 {
		client := g.httpClient(podsName)
		if a := g.expectAnswer(client, g.request(http.MethodGet, "", "l5d-orig-proto", "HTTP/1.1")); a.body != "here" {
			t.Errorf("answered %d %q", a.status, a.body)
		}
		client.CloseIdleConnections()
	}
}

// pending is a handler that waits until its request ends or it is let go.
func pending(begun chan<- struct{}, letGo <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		select {
		case <-letGo:
			_, _ = io.WriteString(w, "done")
		case <-r.Context().Done():
		}
	}
}

func TestARequestIsCutWhenItsServiceIsWithdrawn(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	begun := make(chan struct{}, 1)
	g.serveHTTP(pending(begun, nil), speaksHTTP1)
	failed := make(chan error, 1)
	client, request := g.httpClient(echoName), g.request(http.MethodGet, "", "l5d-orig-proto", "HTTP/1.1")
	go func() {
		_, err := fetch(client, request)
		failed <- err
	}()
	within(t, begun, "the request")
	took := measured(func() {
		g.table.DeleteService("shop", "echo")
		if err := within(t, failed, "the request to end"); err == nil {
			t.Error("the request was answered")
		}
	})
	if took > soon {
		t.Errorf("cut after %v", took)
	}
	g.waitFor("the stream to end", func() bool { return len(g.logged()) > 0 })
	if line := g.logged()[0]; line.Result != string(stream.Aborted) || line.Reason != stream.ReasonWithdrawn {
		t.Errorf("the access log says %+v", line)
	}
}

// A proxy's HTTP/2 connection lasts for ever: it is told to go when the gateway drains, and what it has asked is
// answered.
func TestDrainingTellsHTTP2ClientsToGo(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	begun, letGo := make(chan struct{}, 1), make(chan struct{})
	g.serveHTTP(pending(begun, letGo), speaksHTTP1)
	client, request := g.httpClient(echoName), g.request(http.MethodGet, "", "l5d-orig-proto", "HTTP/1.1")
	answered := make(chan string, 1)
	go func() {
		a, err := fetch(client, request)
		answered <- fmt.Sprint(a.body, err)
	}()
	within(t, begun, "the request")
	drained := g.server.Drain()
	close(letGo)
	if text := within(t, answered, "the answer"); text != "done<nil>" {
		t.Errorf("the request ended with %q", text)
	}
	within(t, drained, "the connection to end") // with no word of the client
	g.expectEnd(1, stream.Done, "")
}

func TestRequestsThatOutlastTheDrainAreCut(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{HTTP: translate.Limits{DrainTimeout: 100 * time.Millisecond}})
	begun := make(chan struct{}, 1)
	g.serveHTTP(pending(begun, nil), speaksHTTP1)
	client, request := g.httpClient(echoName), g.request(http.MethodGet, "", "l5d-orig-proto", "HTTP/1.1")
	failed := make(chan error, 1)
	go func() {
		_, err := fetch(client, request)
		failed <- err
	}()
	within(t, begun, "the request")
	within(t, g.server.Drain(), "the connection to end")
	if err := within(t, failed, "the request to end"); err == nil {
		t.Error("the request was answered")
	}
	g.expectEnd(1, stream.Aborted, stream.ReasonDraining)
}

func TestAClientThatDoesNotSpeakHTTP2IsToldApart(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{})
	g.serveEcho()
	s := g.open(ways()[0], g.credentials(webClient), echoName, 80, http2)
	if _, err := io.WriteString(s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(s)
	g.expectEnd(1, stream.Failed, "protocol")
}

// A client that ends its HTTP/2 connection in good order sees a good end on every way.
func TestAnHTTP2StreamEndsAsItsClientDoes(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		g := startGateway(t, Options{})
		g.serveEcho()
		s := g.open(w, g.credentials(webClient), echoName, 80, http2)
		hello := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" // and SETTINGS without any
		if _, err := io.WriteString(s, hello); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(s, make([]byte, 9)); err != nil { // the gateway's SETTINGS
			t.Fatal(err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(s); err != nil {
			t.Errorf("the stream ended with %v", err)
		}
		g.expectEnd(1, stream.Done, "")
	})
}
