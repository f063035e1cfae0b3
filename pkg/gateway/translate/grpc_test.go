package translate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
)

// message is a gRPC message on the wire: a flag, a length, and what stands for protobuf here.
func message(text string) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text)))) + text
}

func readMessage(r io.Reader) (string, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", err
	}
	text := make([]byte, binary.BigEndian.Uint32(head[1:]))
	_, err := io.ReadFull(r, text)
	return string(text), err
}

// grpcApp is a gRPC server with a method for each kind of call.
func grpcApp(t testing.TB) string {
	return http2App(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("X-Timeout", r.Header.Get("Grpc-Timeout"))
		flush := func() { _ = http.NewResponseController(w).Flush() }
		end := func(code string) {
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", code)
			w.Header().Set(http.TrailerPrefix+"Grpc-Message", "bye")
			w.Header().Set(http.TrailerPrefix+"X-Custom-Bin", "AAEC")
		}
		switch r.URL.Path {
		case "/test/Unary", "/test/ClientStream":
			var all []string
			for text, err := readMessage(r.Body); err == nil; text, err = readMessage(r.Body) {
				all = append(all, text)
			}
			_, _ = io.WriteString(w, message(strings.Join(all, "+")))
			end("0")
		case "/test/ServerStream":
			for i := range 3 {
				_, _ = io.WriteString(w, message(fmt.Sprint(i)))
				flush()
			}
			end("0")
		case "/test/Bidi":
			flush()
			for text, err := readMessage(r.Body); err == nil; text, err = readMessage(r.Body) {
				_, _ = io.WriteString(w, message("re: "+text))
				flush()
			}
			end("0")
		case "/test/NoMessages":
			flush()
			end("5")
		case "/test/TrailersOnly":
			w.Header().Set("Grpc-Status", "12")
		default:
			t.Errorf("called %s", r.URL.Path)
		}
	})
}

// grpcCall is a call whose answer has begun.
type grpcCall struct{ *http.Response }

// call begins a gRPC call.
func call(t testing.TB, client *http.Client, method string, body io.Reader) grpcCall {
	t.Helper()
	answer, err := client.Do(newRequest(t, "POST", "/test/"+method, body, "Content-Type", "application/grpc+proto", "TE", "trailers",
		"grpc-timeout", "20S", "User-Agent", "grpc-test"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return grpcCall{answer}
}

func TestGRPCCallsPass(t *testing.T) {
	client := gatewayTo(t, grpcApp(t)).client(t)
	done := http.Header{"Grpc-Status": {"0"}, "Grpc-Message": {"bye"}, "X-Custom-Bin": {"AAEC"}}
	for name, c := range map[string]struct {
		method, sent string
		want         []string
		trailer      http.Header
	}{
		"unary":                         {"Unary", message("a"), []string{"a"}, done},
		"with a stream from the client": {"ClientStream", message("a") + message("") + message("c"), []string{"a++c"}, done},
		"with a stream from the server": {"ServerStream", message("a"), []string{"0", "1", "2"}, done},
		"that fail after the head":      {"NoMessages", message("a"), nil, http.Header{"Grpc-Status": {"5"}, "Grpc-Message": {"bye"}, "X-Custom-Bin": {"AAEC"}}},
	} {
		t.Run(name, func(t *testing.T) {
			answer := call(t, client, c.method, strings.NewReader(c.sent))
			var got []string
			text, err := readMessage(answer.Body)
			for ; err == nil; text, err = readMessage(answer.Body) {
				got = append(got, text)
			}
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.trailer, answer.Trailer); diff != "" {
				t.Errorf("trailers (-want +got):\n%s", diff)
			}
			if got := answer.Header.Get("X-Timeout"); got != "20S" {
				t.Errorf("the application saw grpc-timeout %q", got)
			}
		})
	}
}

func TestAGRPCCallWithTwoStreamsIsFullDuplex(t *testing.T) {
	client := gatewayTo(t, grpcApp(t)).client(t)
	reader, writer := io.Pipe()
	answer := call(t, client, "Bidi", reader) // the head comes before any message
	for i := range 5 {
		text := fmt.Sprint("message ", i)
		if _, err := io.WriteString(writer, message(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := readMessage(answer.Body); err != nil || got != "re: "+text {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	_ = writer.Close()
	if _, err := readMessage(answer.Body); !errors.Is(err, io.EOF) || answer.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("ended with %v, trailers %v", err, answer.Trailer)
	}
}

// grpcHead is the head of a gRPC request, for raw clients.
func grpcHead(method string, more ...string) []byte {
	return fields(append([]string{
		":method", "POST", ":scheme", "http", ":path", "/test/" + method,
		":authority", authority, "content-type", "application/grpc", "te", "trailers",
	}, more...)...)
}

// A gRPC answer without messages is one HEADERS frame that ends the stream: clients take a status in
// a head that is followed by an empty end for an answer without a status.
func TestTrailersOnlyAnswersStayOneFrame(t *testing.T) {
	for name, c := range map[string]struct {
		gateway func() *rig
		more    []string
	}{
		"of the application":             {func() *rig { return gatewayTo(t, grpcApp(t)) }, nil},
		"when the service is not there":  {func() *rig { return gatewayTo(t, unusedAddress(t)) }, nil},
		"when the gateway finds a loop":  {func() *rig { return gatewayTo(t, grpcApp(t)) }, []string{"forwarded", element}},
		"when the gateway finds a fault": {func() *rig { return gatewayTo(t, grpcApp(t)) }, []string{"l5d-orig-proto", "HTTP/3"}},
	} {
		t.Run(name, func(t *testing.T) {
			raw := c.gateway().raw(t)
			const crowd, rounds = 100, 20 // what can go wrong is a matter of luck
			for round := range uint32(rounds) {
				for i := range uint32(crowd) {
					raw.send(frameHeaders, flagEndStream|flagEndHeaders, 2*(crowd*round+i)+1, grpcHead("TrailersOnly", c.more...))
				}
				for range crowd {
					f := raw.until(frameHeaders, frameData, frameReset, frameGoAway)
					if f.status() != "200" || f.flags&flagEndStream == 0 {
						t.Fatalf("a call was answered with %+v", f)
					}
				}
			}
		})
	}
}

func TestCancelsAndDeadlinesReachTheApplication(t *testing.T) {
	for name, c := range map[string]struct {
		app  func(testing.TB, http.HandlerFunc) string
		make func(testing.TB, string, string, io.Reader, ...string) *http.Request
	}{
		"of HTTP/1.1": {http1App, upgraded},
		"of HTTP/2":   {http2App, newRequest},
	} {
		for _, begun := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, answer begun %v", name, begun), func(t *testing.T) {
				arrived, gone := make(chan struct{}, 1), make(chan struct{}, 1)
				g := gatewayTo(t, c.app(t, func(w http.ResponseWriter, r *http.Request) {
					if begun {
						_ = http.NewResponseController(w).Flush()
					}
					arrived <- struct{}{}
					<-r.Context().Done()
					gone <- struct{}{}
				}))
				client := g.client(t)
				ctx, cancel := context.WithCancel(t.Context())
				finished := make(chan struct{})
				go func() {
					defer close(finished)
					answer, err := client.Do(c.make(t, "GET", "/", nil).WithContext(ctx))
					if err == nil {
						<-ctx.Done()
						answer.Body.Close()
					}
				}()
				within(t, arrived, "the request")
				cancel()
				within(t, gone, "the application to hear of it")
				<-finished
				if got := g.endedBy(t, client); got.result != (Result{Requests: 1}) || got.err != nil {
					t.Errorf("got %+v: a request that was given up has not failed", got)
				}
			})
		}
	}
}

func TestGRPCFaultsAreUnavailable(t *testing.T) {
	refuse := func(err error) func(*Options) {
		return func(o *Options) { o.Dial = func(context.Context) (net.Conn, error) { return nil, err } }
	}
	for name, edit := range map[string]func(*Options){
		"refused":     refuse(&net.OpError{Op: "dial", Err: connectionRefused}),
		"unreachable": refuse(errors.New("100% no route")),
		"too late": func(o *Options) {
			o.Limits.ConnectTimeout = minTimeout
			o.Dial = func(ctx context.Context) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			answer := call(t, gatewayTo(t, "", edit).client(t), "Unary", strings.NewReader(message("a")))
			text := answer.Header.Get("L5d-Proxy-Error")
			if answer.StatusCode != 200 || answer.Header.Get("Grpc-Status") != "14" ||
				answer.Header.Get("Content-Type") != "application/grpc" || !strings.Contains(text, "could not reach the service") ||
				answer.Header.Get("Grpc-Message") != strings.ReplaceAll(text, "%", "%25") {
				t.Errorf("got %s %v", answer.Status, answer.Header)
			}
			if length, ok := answer.Header["Content-Length"]; ok {
				t.Errorf("an answer without a body has the length %q", length)
			}
		})
	}
}

// Linkerd's proxies end a gRPC answer that breaks off with a status, too.
func TestAGRPCAnswerThatBreaksOffEndsWithAStatus(t *testing.T) {
	for name, status := range map[string]string{
		"because the connection is gone":   "14",
		"because the application reset it": "13",
	} {
		t.Run(name, func(t *testing.T) {
			next, conns := make(chan struct{}), make(chan net.Conn, 1)
			addr := http2App(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/grpc")
				_, _ = io.WriteString(w, message("half"))
				_ = http.NewResponseController(w).Flush()
				<-next
				if status == "13" {
					panic(http.ErrAbortHandler) //nolint:forbidigo // it is how a handler resets a stream
				}
				(<-conns).Close()
				<-r.Context().Done()
			})
			g := gatewayTo(t, addr, func(o *Options) {
				dial := o.Dial
				o.Dial = func(ctx context.Context) (net.Conn, error) {
					conn, err := dial(ctx)
					conns <- conn
					return conn, err
				}
			})
			client := g.client(t)
			answer := call(t, client, "Unary", strings.NewReader(message("a")))
			if text, err := readMessage(answer.Body); err != nil || text != "half" {
				t.Fatalf("got %q, %v", text, err)
			}
			close(next)
			_, err := readMessage(answer.Body)
			if !errors.Is(err, io.EOF) || answer.Trailer.Get("Grpc-Status") != status {
				t.Errorf("ended with %v, trailers %v", err, answer.Trailer)
			}
			if got := g.endedBy(t, client); got.result.Failed != 1 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestResetsOfTheApplicationAreNamedAsGRPCDoes(t *testing.T) {
	for code, want := range map[uint32]int{0x0: 13, 0x2: 13, 0x7: 14, 0x8: 1, 0xb: 8} {
		if got, text := grpcBreak(fmt.Errorf("reading: %w", streamError{1, code, nil})); got != want {
			t.Errorf("code %d: got %d %q, want %d", code, got, text, want)
		}
	}
	if got, _ := grpcBreak(io.ErrUnexpectedEOF); got != 14 {
		t.Errorf("got %d", got)
	}
}

func TestOnlyGRPCIsTakenForGRPC(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "application/grpc;a=b": true, "Application/GRPC": true,
		"": false, "application/grpc-web": false, "application/grpc-web+proto": false, "text/plain": false,
	} {
		if got := isGRPC(http.Header{"Content-Type": {contentType}}); got != want {
			t.Errorf("%q: got %v", contentType, got)
		}
	}
}

// The deadline is the client's affair; nothing here adds one.
func TestAnAnswerMayTakeLongerThanEveryTimeout(t *testing.T) {
	addr := http2App(t, func(w http.ResponseWriter, _ *http.Request) {
		timer := time.NewTimer(500 * time.Millisecond)
		defer timer.Stop()
		<-timer.C
		_, _ = io.WriteString(w, "late")
	})
	client := gatewayTo(t, addr, func(o *Options) {
		short := 100 * time.Millisecond
		o.Limits = Limits{IdleTimeout: short, StallTimeout: short, ConnectTimeout: short, DrainTimeout: short}
		o.Log = logr.Discard()
	}).client(t)
	if answer := do(t, client, newRequest(t, "GET", "/", nil)); answer.body != "late" {
		t.Errorf("got %+v", answer)
	}
}
