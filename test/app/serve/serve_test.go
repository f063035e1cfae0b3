package serve_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/linkspan/linkspan/test/app/origin"
	"github.com/linkspan/linkspan/test/app/serve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// server is one that runs.
type server struct {
	lines chan string
	stop  context.CancelFunc
	ended chan error
}

// Write implements io.Writer, for what the server says.
func (s *server) Write(p []byte) (int, error) {
	s.lines <- string(p)
	return len(p), nil
}

func start(t *testing.T, o serve.Options, run func(context.Context, serve.Options) error) *server {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &server{lines: make(chan string, 100), stop: stop, ended: make(chan error, 1)}
	o.Name, o.Out, o.Listen = "server", s, "127.0.0.1:0"
	o.Identity = origin.Identity{Cluster: "east", Pod: "p"}
	go func() { s.ended <- run(ctx, o) }()
	t.Cleanup(stop)
	return s
}

// says waits for a line, and gives what is behind some words.
func (s *server) says(t *testing.T, words string) string {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case line := <-s.lines:
			if _, rest, ok := strings.Cut(strings.TrimSpace(line), words); ok {
				return rest
			}
		case err := <-s.ended:
			t.Fatalf("the server ends before it says %q: %v", words, err)
		case <-late:
			t.Fatalf("the server does not say %q", words)
		}
	}
}

func (s *server) expectEnd(t *testing.T) {
	t.Helper()
	select {
	case err := <-s.ended:
		if err != nil {
			t.Errorf("the server ends with %v", err)
		}
	case <-time.After(patience):
		t.Error("the server does not end")
	}
}

// answer is what was answered, without the body.
type answer struct {
	status int
	pod    string
	close  bool
}

func ask(t *testing.T, client *http.Client, url string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header.Get(origin.Pod), response.Close}
}

// Told to end, a server is not ready, and serves on: those on connections that they keep are asked to leave, and what has
// begun is served to its end.
func TestAServerDrains(t *testing.T) {
	t.Parallel()
	slow := make(chan struct{})
	s := start(t, serve.Options{Drain: 300 * time.Millisecond}, func(ctx context.Context, o serve.Options) error {
		return serve.HTTP(ctx, o, nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-slow
			}
		}))
	})
	url := "http://" + s.says(t, "listens at ")
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	if r := ask(t, client, url+serve.Ready); r.status != http.StatusOK || r.close || r.pod != "p" {
		t.Errorf("before: ready answers %d, close %v, by %q", r.status, r.close, r.pod)
	}
	s.stop()
	s.says(t, "is told to end")
	if r := ask(t, client, url+serve.Ready); r.status != http.StatusServiceUnavailable || !r.close {
		t.Errorf("while draining: ready answers %d, close %v, want 503 and close", r.status, r.close)
	}
	if r := ask(t, client, url+serve.Live); r.status != http.StatusOK {
		t.Errorf("while draining: live answers %d", r.status)
	}
	begun := make(chan int, 1)
	go func() { begun <- ask(t, client, url+"/slow").status }()
	s.says(t, "ends")
	close(slow)
	if status := <-begun; status != http.StatusOK {
		t.Errorf("what had begun is answered with %d", status)
	}
	s.expectEnd(t)
}

func TestAServerIsReadyWhenItSaysSo(t *testing.T) {
	t.Parallel()
	s := start(t, serve.Options{}, func(ctx context.Context, o serve.Options) error {
		return serve.HTTP(ctx, o, func() error { return errors.New("not yet") }, http.NotFoundHandler())
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if r := ask(t, client, "http://"+s.says(t, "listens at ")+serve.Ready); r.status != http.StatusServiceUnavailable {
		t.Errorf("ready answers %d", r.status)
	}
	s.stop()
	s.expectEnd(t)
}

// A connection goes on while its server drains, and until it has been served.
func TestConnectionsOutliveTheSignal(t *testing.T) {
	t.Parallel()
	s := start(t, serve.Options{ReadyListen: "127.0.0.1:0"}, func(ctx context.Context, o serve.Options) error {
		return serve.TCP(ctx, o, func(conn net.Conn) error { _, err := io.Copy(conn, conn); return err })
	})
	// Both say where they listen, in any order: the readiness does with an apostrophe.
	var plain, ready string
	for plain == "" || ready == "" {
		line := s.says(t, "server")
		if rest, ok := strings.CutPrefix(line, "'s readiness listens at "); ok {
			ready = rest
		} else if rest, ok := strings.CutPrefix(line, " listens at "); ok {
			plain = rest
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if r := ask(t, client, "http://"+ready+serve.Ready); r.status != http.StatusOK {
		t.Errorf("ready answers %d", r.status)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	echo(t, conn)
	s.stop()
	s.says(t, "server ends")
	echo(t, conn)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	s.expectEnd(t)
}

func echo(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("%q came back, %v", line, err)
	}
}

func TestAnAddressThatIsTakenIsNamed(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	o := serve.Options{Listen: taken.Addr().String(), Out: io.Discard}
	for name, run := range map[string]func() error{
		"http": func() error { return serve.HTTP(t.Context(), o, nil, http.NotFoundHandler()) },
		"tcp":  func() error { return serve.TCP(t.Context(), o, func(net.Conn) error { return nil }) },
	} {
		if err := run(); err == nil || !strings.Contains(err.Error(), "--listen="+o.Listen) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

func TestOptionsNameTheFlag(t *testing.T) {
	t.Parallel()
	good := serve.Options{Listen: ":80", Identity: origin.Identity{Cluster: "c", Pod: "p"}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*serve.Options){
		"--listen":       func(o *serve.Options) { o.Listen = "80" },
		"--ready-listen": func(o *serve.Options) { o.ReadyListen = "80" },
		"--drain":        func(o *serve.Options) { o.Drain = -1 },
		"--cluster":      func(o *serve.Options) { o.Cluster = "" },
	} {
		o := good
		change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want+" ") {
			t.Errorf("the error is %v, want one that names %s", err, want)
		}
	}
}
