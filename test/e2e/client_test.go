package e2e

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/linkspan/linkspan/test/rig"
)

const (
	// dialPatience is for a connection to a pod of the egress, which is near.
	dialPatience = 5 * time.Second
	// talkPatience is for one exchange. Streams whose gateway is gone may take most of it.
	talkPatience = 40 * time.Second
)

// route leads a client of a mirror to a pod of the egress, as kube-proxy would: it follows the mirror's
// EndpointSlices, and goes round their ready endpoints.
type route struct {
	mirror  string
	history *rig.History
	turn    atomic.Uint32
}

func newRoute(t *testing.T, c *rig.Cluster, namespace, mirror string) *route {
	t.Helper()
	return &route{mirror: mirror, history: rig.Watch(t, c, &discoveryv1.EndpointSlice{}, rig.SlicesOf(namespace, mirror))}
}

// pods are the pods of the egress that a mirror leads to, by whether they take new clients.
type pods struct{ ready, ending, unready []string }

// podsOf reads a state of a mirror's slices, for the port of a name.
func podsOf(m rig.Moment, port string) (found pods) {
	for _, object := range m.Objects {
		slice := object.(*discoveryv1.EndpointSlice) // nothing else is watched
		at := slices.IndexFunc(slice.Ports, func(p discoveryv1.EndpointPort) bool { return *p.Name == port })
		if at < 0 {
			continue
		}
		for _, e := range slice.Endpoints {
			address := joinPort(e.Addresses[0], int(*slice.Ports[at].Port))
			switch c := e.Conditions; {
			case c.Ready == nil || *c.Ready:
				found.ready = append(found.ready, address)
			case c.Serving != nil && *c.Serving && c.Terminating != nil && *c.Terminating:
				found.ending = append(found.ending, address)
			default:
				found.unready = append(found.unready, address)
			}
		}
	}
	return found
}

func (r *route) now(port string) pods {
	moments := r.history.Moments()
	return podsOf(moments[len(moments)-1], port)
}

// errNoEndpoint is where kube-proxy refuses a connection.
var errNoEndpoint = errors.New("the mirror has no ready endpoint")

// pick is where the next connection goes.
func (r *route) pick(port string) (string, error) {
	now := r.now(port)
	from := now.ready
	if len(from) == 0 {
		from = now.ending // kube-proxy takes them when there is nothing better
	}
	if len(from) == 0 {
		return "", errNoEndpoint
	}
	return from[int(r.turn.Add(1))%len(from)], nil
}

// all are the addresses of endpoints, ready or not.
func (r *route) all(port string) []string {
	now := r.now(port)
	return slices.Concat(now.ready, now.ending, now.unready)
}

// any is one of them.
func (r *route) any(t *testing.T, port string) string {
	t.Helper()
	all := r.all(port)
	if len(all) == 0 {
		t.Fatalf("%s leads nowhere", r.mirror)
	}
	return all[0]
}

// to is the address of one pod of the egress.
func (r *route) to(t *testing.T, port, host string) string {
	t.Helper()
	for _, address := range r.all(port) {
		if hostOf(address) == host {
			return address
		}
	}
	t.Fatalf("%s does not lead to %s", r.mirror, host)
	return ""
}

func hostOf(address string) string {
	host, _, _ := net.SplitHostPort(address) // made by joinPort
	return host
}

// expectReady waits until the ready endpoints are those of some hosts.
func (r *route) expectReady(t *testing.T, hosts ...string) {
	t.Helper()
	r.history.Eventually(t, func(m rig.Moment) error {
		var got []string
		for _, address := range podsOf(m, httpPort).ready {
			got = append(got, hostOf(address))
		}
		slices.Sort(got)
		if !slices.Equal(got, hosts) {
			return fmt.Errorf("the ready endpoints of %s are %v, want %v", r.mirror, got, hosts)
		}
		return nil
	})
}

// expectOpen waits until the mirror leads to some pods of the egress, and these listen for it. They hear of a new
// mirror from the same API server, but who hears first is open.
func (r *route) expectOpen(t *testing.T, hosts ...string) {
	t.Helper()
	r.expectReady(t, hosts...)
	for _, host := range hosts {
		for _, port := range []string{httpPort, talkPort, greetPort} {
			address := r.to(t, port, host)
			expectSoon(t, func() error { return listening(address) })
		}
	}
}

// listening asks the kernel whether somebody listens at an IPv4 address, without connecting: that would be a stream.
func listening(address string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	table, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		return err
	}
	ip := to.Addr().As4()
	const stateListen = "0A"
	local := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), to.Port())
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[1] == local && fields[3] == stateListen {
			return nil
		}
	}
	return fmt.Errorf("nobody listens at %s", address)
}

func dial(address string) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialPatience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(talkPatience)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn.(*net.TCPConn), nil // that is what was dialed
}

// fetch sends a request over a new connection and wants its answer, with a good end behind it.
func (r *route) fetch(path string) error {
	address, err := r.pick(httpPort)
	if err != nil {
		return err
	}
	return fetchFrom(address, path, talkPatience)
}

// fetchFrom is fetch by one endpoint, with a limit of time.
func fetchFrom(address, path string, patience time.Duration) error {
	conn, err := dial(address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // what was to be seen has been seen
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodGet, "http://"+address+path, http.NoBody) //nolint:noctx // the connection has a deadline
	if err != nil {
		return err
	}
	request.Close = true
	if err := request.Write(conn); err != nil {
		return fmt.Errorf("send the request: %w", err)
	}
	from := bufio.NewReader(conn)
	response, err := http.ReadResponse(from, request)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read the answer's body: %w", err)
	}
	if want := answerTo(path); response.StatusCode != http.StatusOK || string(text) != want {
		return fmt.Errorf("answered %s %q, want %q", response.Status, text, want)
	}
	if _, err := from.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("behind the answer comes %w, want the end", endOf(err))
	}
	return nil
}

// begin opens a connection that asks the application for something under a name.
func begin(t *testing.T, address, verb, name string) *net.TCPConn {
	t.Helper()
	conn, err := dial(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // at the latest
	if _, err := fmt.Fprintln(conn, verb, name); err != nil {
		t.Fatal(err)
	}
	return conn
}

// aborted says whether a connection was cut, judged by its first error: a reset while it was open. EPIPE would
// mean that a good end had come before.
func aborted(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// endOf is an error also for a good end.
func endOf(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return errors.New("a good end")
	}
	return err
}

// expectReset connects, and wants to be turned away by a reset at once.
func expectReset(t *testing.T, address string) (took time.Duration) {
	t.Helper()
	began := time.Now()
	err := attempt(address)
	took = time.Since(began)
	if !aborted(err) {
		t.Errorf("a new connection to %s ends with %v, want a reset", address, endOf(err))
	}
	return took
}

// attempt connects and waits for what comes, which is nothing unless it is let through.
func attempt(address string) error {
	conn, err := dial(address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // what was to be seen has been seen
	_, err = conn.Read(make([]byte, 1))
	return err
}

// same wants two values to be equal.
func same[T any](what string, want, got T) error {
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("%s (-want +got):\n%s", what, diff)
	}
	return nil
}
