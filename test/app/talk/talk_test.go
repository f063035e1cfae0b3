package talk_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/linkspan/linkspan/test/app/origin"
	"github.com/linkspan/linkspan/test/app/serve"
	"github.com/linkspan/linkspan/test/app/talk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is generous: nothing waits for it when all is well.
const patience = 10 * time.Second

var who = origin.Identity{Cluster: "east", Pod: "talk-1"}

// output is where a server says where it listens.
type output struct {
	address chan string
}

func (o *output) Write(p []byte) (int, error) {
	if _, address, ok := strings.Cut(strings.TrimSpace(string(p)), " listens at "); ok {
		o.address <- address
	}
	return len(p), nil
}

// start runs a server and gives its address. It ends with the test, and must end well.
func start(t *testing.T, run func(context.Context, serve.Options) error) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	out := &output{address: make(chan string, 1)}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, serve.Options{Name: "server", Listen: "127.0.0.1:0", Identity: who, Out: out})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server ends with %v", err)
		}
	})
	select {
	case address := <-out.address:
		return address
	case <-time.After(patience):
		t.Fatal("the server does not listen")
		return ""
	}
}

func handle(h http.Handler) func(context.Context, serve.Options) error {
	return func(ctx context.Context, o serve.Options) error { return serve.HTTP(ctx, o, nil, h) }
}

func TestPacketsAreAnsweredEachOnce(t *testing.T) {
	t.Parallel()
	address := start(t, func(ctx context.Context, o serve.Options) error { return serve.UDP(ctx, o, talk.Packet(who)) })
	result, err := talk.Packets{Address: address, Count: 20, Interval: time.Millisecond, Patience: patience}.Send(t.Context())
	if err != nil || result.Sent != 20 || result.Answered != 20 || result.Pods["east/talk-1"] != 20 {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestPacketsThatAreLostAreCounted(t *testing.T) {
	t.Parallel()
	turn := 0
	address := start(t, func(ctx context.Context, o serve.Options) error {
		return serve.UDP(ctx, o, func(packet []byte) []byte {
			if turn++; turn%2 == 0 {
				return []byte("nonsense")
			}
			return talk.Packet(who)(packet)
		})
	})
	result, err := talk.Packets{Address: address, Count: 4, Interval: time.Millisecond, Patience: patience}.Send(t.Context())
	if err == nil || result.Answered != 2 || result.Failures[origin.Other] != 2 {
		t.Errorf("wrong answers: %+v, %v", result, err)
	}
	silent, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }() // nobody reads from it
	result, err = talk.Packets{Address: silent.LocalAddr().String(), Count: 3, Interval: time.Millisecond, Patience: 50 * time.Millisecond}.Send(t.Context())
	if err == nil || result.Failures[origin.Timeout] != 3 || !strings.Contains(err.Error(), "3 of 3") {
		t.Errorf("no answers: %+v, %v", result, err)
	}
}

func TestTheServerSpeaksFirst(t *testing.T) {
	t.Parallel()
	address := start(t, func(ctx context.Context, o serve.Options) error { return serve.TCP(ctx, o, talk.Greet(who)) })
	result, err := talk.Greeting{Address: address, Lines: 5, Patience: patience}.Call(t.Context())
	if err != nil || result.By != "east/talk-1" || result.Echoed != 5 {
		t.Errorf("%+v, %v", result, err)
	}
}

// What a proxy does that waits for the client to speak first.
func TestAClientThatIsNotGreetedSaysSo(t *testing.T) {
	t.Parallel()
	address := start(t, func(ctx context.Context, o serve.Options) error {
		return serve.TCP(ctx, o, func(conn net.Conn) error {
			_, err := conn.Read(make([]byte, 1)) // until the client has enough
			return err
		})
	})
	_, err := talk.Greeting{Address: address, Lines: 1, Patience: 50 * time.Millisecond}.Call(t.Context())
	if origin.Failure(err) != origin.Timeout || !strings.Contains(err.Error(), "waiting to be greeted") {
		t.Errorf("the error is %v", err)
	}
}

func TestAStreamGivesEveryMessageBack(t *testing.T) {
	t.Parallel()
	address := start(t, handle(talk.GRPCHandler()))
	result, err := talk.Stream{URL: "http://" + address, Hold: 300 * time.Millisecond, Interval: 10 * time.Millisecond, Patience: patience}.Run(t.Context())
	if err != nil || result.Status != "0" || result.By != "east/talk-1" || result.Sent < 2 || result.Received != result.Sent {
		t.Errorf("%+v, %v", result, err)
	}
}

// Who holds a stream for as long as something else takes tells it to end, and hears what came of it.
func TestAStreamThatIsToldToEndEndsWell(t *testing.T) {
	t.Parallel()
	address := start(t, handle(talk.GRPCHandler()))
	ctx, stop := context.WithCancel(t.Context())
	timer := time.AfterFunc(300*time.Millisecond, stop)
	defer timer.Stop()
	result, err := talk.Stream{URL: "http://" + address, Hold: time.Hour, Interval: 10 * time.Millisecond, Patience: patience}.Run(ctx)
	if err != nil || result.Status != "0" || result.Sent < 2 || result.Received != result.Sent {
		t.Errorf("%+v, %v", result, err)
	}
}

// relay is what stands between client and server: it can stop moving bytes, or cut.
type relay struct {
	listener net.Listener
	to       string
	gate     sync.Mutex // held while nothing moves

	mu    sync.Mutex
	conns []net.Conn
}

func startRelay(t *testing.T, to string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, to: to}
	var moving sync.WaitGroup
	moving.Go(func() { r.accept(&moving) })
	t.Cleanup(func() {
		_ = listener.Close()
		r.cut()
		moving.Wait()
	})
	return r
}

func (r *relay) accept(moving *sync.WaitGroup) {
	for {
		near, err := r.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", r.to) //nolint:noctx // loopback
		if err != nil {
			_ = near.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, near, far)
		r.mu.Unlock()
		moving.Go(func() { r.move(near, far) })
		moving.Go(func() { r.move(far, near) })
	}
}

func (r *relay) move(from, to net.Conn) {
	buffer := make([]byte, 1<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			_ = to.Close()
			return
		}
		r.gate.Lock()
		_, err = to.Write(buffer[:n])
		r.gate.Unlock()
		if err != nil {
			_ = from.Close()
			return
		}
	}
}

func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.conns {
		_ = conn.Close()
	}
}

// In a stream that stalls, or breaks, the client tells when and for how long.
func TestAStreamTellsItsGapsAndItsEnd(t *testing.T) {
	t.Parallel()
	r := startRelay(t, start(t, handle(talk.GRPCHandler())))
	const stall = 200 * time.Millisecond
	var beside sync.WaitGroup
	beside.Go(func() {
		<-time.After(200 * time.Millisecond)
		r.gate.Lock()
		<-time.After(stall)
		r.gate.Unlock()
		<-time.After(200 * time.Millisecond)
		r.cut()
	})
	defer beside.Wait()
	s := talk.Stream{URL: "http://" + r.listener.Addr().String(), Hold: time.Minute, Interval: 10 * time.Millisecond, Patience: patience}
	result, err := s.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "messages and") {
		t.Errorf("the error is %v, want one that says after how many messages", err)
	}
	if result.Status != "" || result.Longest < 150 || len(result.Gaps) == 0 || result.Received == 0 || result.Received > result.Sent {
		t.Errorf("the result is %+v, want a gap of some %v, and no status", result, stall)
	}
}

func TestWhatIsNoGRPCIsRefused(t *testing.T) {
	t.Parallel()
	s := talk.Stream{URL: "http://" + start(t, handle(http.NotFoundHandler())), Hold: time.Second, Interval: time.Second, Patience: patience}
	if _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no gRPC") {
		t.Errorf("the error is %v", err)
	}
}

func TestBytesArriveAsTheyWere(t *testing.T) {
	t.Parallel()
	url := "http://" + start(t, handle(talk.BlobHandler()))
	for name, up := range map[string]bool{"download": false, "upload": true} {
		result, err := talk.Transfer{URL: url, Bytes: 3_000_000, Up: up, Patience: patience}.Run(t.Context())
		if err != nil || result.Bytes != 3_000_000 || result.By != "east/talk-1" || len(result.SHA256) != 64 {
			t.Errorf("%s: %+v, %v", name, result, err)
		}
	}
}

// A transfer that lacks bytes, or has others, is an error, although it ends well.
func TestBytesThatAreMissingOrOthersAreAnError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"fewer":        {func(w http.ResponseWriter, r *http.Request) { talk.BlobHandler().ServeHTTP(w, with(r, "bytes=10")) }, "10 bytes with the SHA-256"},
		"others":       {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 100)) }, `the SHA-256 ""`},
		"cut":          {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "100") }, "unexpected EOF"},
		"none, but no": {func(w http.ResponseWriter, r *http.Request) { talk.BlobHandler().ServeHTTP(w, with(r, "bytes=-1")) }, "400 Bad Request"},
	} {
		server := httptest.NewServer(c.answer)
		_, err := talk.Transfer{URL: server.URL, Bytes: 100, Patience: patience}.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: the error is %v, want %q", name, err, c.says)
		}
		server.Close()
	}
}

func with(r *http.Request, query string) *http.Request {
	r.URL.RawQuery = query
	return r
}
