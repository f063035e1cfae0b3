package e2e

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Ports of the application's Service.
const (
	httpPort, numberHTTP   = "http", 80
	talkPort, numberTalk   = "talk", 7
	greetPort, numberGreet = "greet", 25
)

// greeting is what the application says first on greetPort.
const greeting = "220 at your service\r\n"

// What a connection to talkPort may ask for, in its first line, beside its name.
const (
	verbEcho  = "echo"  // everything comes back at once
	verbStore = "store" // everything comes back once the client has ended its direction
	verbSink  = "sink"  // the sum of everything comes back then
	verbFeed  = "feed"  // bytes come for as long as somebody takes them
)

// application listens at the ClusterIP of its Service, which stands in for kube-proxy and the pods.
type application struct {
	listeners []net.Listener
	server    *http.Server
	running   sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	talks map[string]*talk
}

// talk is a connection to talkPort that has told its name.
type talk struct {
	began, ended chan struct{}
	// received and err are valid once ended is closed; err is nil when the client ended its direction.
	received int64
	err      error
}

func newApplication(t *testing.T, ip string) *application {
	t.Helper()
	a := &application{conns: map[net.Conn]struct{}{}, talks: map[string]*talk{}}
	a.server = &http.Server{Handler: http.HandlerFunc(answer), ReadHeaderTimeout: time.Minute}
	t.Cleanup(a.close)
	web := a.listen(t, ip, numberHTTP)
	a.running.Go(func() { _ = a.server.Serve(web) }) // it ends with close
	a.accept(a.listen(t, ip, numberTalk), a.talk)
	a.accept(a.listen(t, ip, numberGreet), greet)
	return a
}

func (a *application) listen(t *testing.T, ip string, port int) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", joinPort(ip, port))
	if err != nil {
		t.Fatal(err)
	}
	a.listeners = append(a.listeners, listener)
	return listener
}

func (a *application) accept(listener net.Listener, serve func(*net.TCPConn)) {
	a.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			a.mu.Lock()
			a.conns[conn] = struct{}{}
			a.mu.Unlock()
			a.running.Go(func() {
				serve(conn.(*net.TCPConn)) // that is what TCP listeners accept
				_ = conn.Close()
				a.mu.Lock()
				delete(a.conns, conn)
				a.mu.Unlock()
			})
		}
	})
}

func (a *application) close() {
	for _, listener := range a.listeners {
		_ = listener.Close()
	}
	_ = a.server.Close()
	a.mu.Lock()
	for conn := range a.conns {
		_ = conn.Close()
	}
	a.mu.Unlock()
	a.running.Wait()
}

// answer says what it was asked.
func answer(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, answerTo(r.URL.Path)) }

func answerTo(path string) string { return "you asked for " + path }

// greet speaks first, answers one line, and ends.
func greet(conn *net.TCPConn) {
	_, _ = io.WriteString(conn, greeting)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, "250 "+line)
}

// talkNamed is the connection of a name, which may come later.
func (a *application) talkNamed(name string) *talk {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.talks[name]
	if s == nil {
		s = &talk{began: make(chan struct{}), ended: make(chan struct{})}
		a.talks[name] = s
	}
	return s
}

func (a *application) talk(conn *net.TCPConn) {
	from := bufio.NewReader(conn)
	line, err := from.ReadString('\n')
	if err != nil {
		return
	}
	verb, name, _ := strings.Cut(strings.TrimSpace(line), " ")
	s := a.talkNamed(name)
	close(s.began)
	s.received, s.err = serveTalk(verb, from, conn)
	close(s.ended)
}

func serveTalk(verb string, from io.Reader, conn *net.TCPConn) (received int64, err error) {
	switch verb {
	case verbEcho:
		return echo(from, conn)
	case verbStore:
		data, err := io.ReadAll(from)
		if err == nil {
			_, err = conn.Write(data)
		}
		return int64(len(data)), err
	case verbSink:
		sum := sha256.New()
		n, err := io.Copy(sum, from)
		if err == nil {
			_, err = fmt.Fprintf(conn, "%x", sum.Sum(nil))
		}
		return n, err
	case verbFeed:
		return 0, feed(conn)
	default:
		return 0, errors.New("there is no verb " + verb)
	}
}

// echo does in turns what io.Copy does: an error of a read and one of a write must not be mixed up.
func echo(from io.Reader, to io.Writer) (received int64, err error) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		received += int64(n)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return received, err
			}
		}
		if errors.Is(err, io.EOF) {
			return received, nil
		}
		if err != nil {
			return received, err
		}
	}
}

// feed writes until that fails.
func feed(to io.Writer) error {
	const pause = 5 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for block := make([]byte, 16<<10); ; <-tick.C {
		if _, err := to.Write(block); err != nil {
			return err
		}
	}
}

// expectBegun waits until the application knows a connection: it is open all the way then.
func (a *application) expectBegun(t *testing.T, name string) {
	t.Helper()
	select {
	case <-a.talkNamed(name).began:
	case <-time.After(endPatience):
		t.Fatalf("the application does not hear of %s", name)
	}
}

// expectEnd waits for a good end of a connection.
func (a *application) expectEnd(t *testing.T, name string) {
	t.Helper()
	s := a.talkNamed(name)
	select {
	case <-s.ended:
		if s.err != nil {
			t.Errorf("the application sees the end of %s after %d bytes as %v, want a good end", name, s.received, s.err)
		}
	case <-time.After(endPatience):
		t.Errorf("the application does not see the end of %s", name)
	}
}

// expectCut waits for the end of a connection, and wants it to be one that cannot be taken for a good end.
func (a *application) expectCut(t *testing.T, name string) {
	t.Helper()
	s := a.talkNamed(name)
	select {
	case <-s.ended:
		if !aborted(s.err) {
			t.Errorf("the application sees the end of %s after %d bytes as %v, want a reset", name, s.received, endOf(s.err))
		}
	case <-time.After(endPatience):
		t.Errorf("the application does not see the end of %s", name)
	}
}
