package probe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// behaviour is what a dialed address does. Loops that it starts end with the connection.
type behaviour func(ctx context.Context) (net.Conn, error)

func refuses(context.Context) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// drops is an address behind a firewall that drops SYN packets.
func drops(ctx context.Context) (net.Conn, error) {
	<-ctx.Done()
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
}

// serves hands the far end of a connection to serve and closes it afterwards.
func serves(serve func(net.Conn)) behaviour {
	return func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer closeConn(far)
			serve(far)
		}()
		return near, nil
	}
}

// answers reads a request and writes each part until the other side has gone.
func answers(parts ...string) behaviour {
	return serves(func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		for _, part := range parts {
			if _, err := io.WriteString(conn, part); err != nil {
				return
			}
		}
	})
}

// repeats answers with head and then with part without end.
func repeats(head, part string) behaviour {
	return serves(func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		_, err := io.WriteString(conn, head)
		for err == nil {
			_, err = io.WriteString(conn, part)
		}
	})
}

// hangs answers with head, and then stays silent until the other side has gone.
func hangs(head string) behaviour {
	return serves(func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		if _, err := io.WriteString(conn, head); err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, conn) // ends with the connection, whatever the reason
	})
}

var alive = answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

// network is a network in memory. An address that nobody listens on refuses.
type network struct {
	mu    sync.Mutex
	hosts map[string]behaviour
	dials map[string]int
	open  int
}

func newNetwork() *network {
	return &network{hosts: map[string]behaviour{}, dials: map[string]int{}}
}

// set changes what address (ip:port) does from now on.
func (n *network) set(address string, b behaviour) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[address] = b
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	b, ok := n.hosts[address]
	n.dials[address]++
	n.mu.Unlock()
	if !ok {
		b = refuses
	}
	conn, err := b(ctx)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open++
	return &countedConn{Conn: conn, closed: sync.OnceFunc(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.open--
	})}, nil
}

func (n *network) dialed(address string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials[address]
}

func (n *network) opened() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// dns is a scripted resolver. A name without a script does not exist.
type dns struct {
	mu      sync.Mutex
	names   map[string]func(ctx context.Context) ([]netip.Addr, error)
	lookups map[string]int
}

func newDNS() *dns {
	return &dns{names: map[string]func(context.Context) ([]netip.Addr, error){}, lookups: map[string]int{}}
}

// gives makes host have these addresses, of both families.
func (d *dns) gives(host string, addrs ...string) {
	d.does(host, func(context.Context) ([]netip.Addr, error) { return parseAddrs(addrs...), nil })
}

// fails makes each look-up of host fail with err.
func (d *dns) fails(host string, err error) {
	d.does(host, func(context.Context) ([]netip.Addr, error) { return nil, err })
}

// hangs makes each look-up of host last until it is given up.
func (d *dns) hangs(host string) {
	d.does(host, func(ctx context.Context) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
}

func (d *dns) does(host string, script func(context.Context) ([]netip.Addr, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[host] = script
}

func (d *dns) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	d.mu.Lock()
	script, ok := d.names[host]
	d.lookups[host]++
	d.mu.Unlock()
	if !ok {
		return nil, notFound(host)
	}
	addrs, err := script(ctx)
	if err != nil {
		return nil, err
	}
	addrs = slices.DeleteFunc(addrs, func(ip netip.Addr) bool { return ip.Is4() != (network == "ip4") })
	if len(addrs) == 0 {
		return nil, notFound(host)
	}
	return addrs, nil
}

// total is how many look-ups there were, both families of a name counted as one.
func (d *dns) total() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	sum := 0
	for n := range maps.Values(d.lookups) {
		sum += n
	}
	return sum / 2
}

func notFound(host string) error {
	return &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func parseAddrs(addrs ...string) []netip.Addr {
	parsed := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		parsed = append(parsed, netip.MustParseAddr(a))
	}
	return parsed
}

// manyAddrs gives n different addresses.
func manyAddrs(n int) []string {
	addrs := make([]string, 0, n)
	for i := range n {
		addrs = append(addrs, fmt.Sprintf("198.51.100.%d", i))
	}
	return addrs
}

// flaps answers 200 and 503 in turn.
func flaps() behaviour {
	var mu sync.Mutex
	ok := false
	return func(ctx context.Context) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		ok = !ok
		if ok {
			return alive(ctx)
		}
		return unavailable(ctx)
	}
}

var unavailable = answers("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\n", strings.Repeat("x", 4))
