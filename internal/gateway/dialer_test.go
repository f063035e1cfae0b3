package gateway

import (
	"net"
	"runtime"
	"strconv"
	"testing"
)

// A port that an outgoing connection of the egress holds can be opened for a mirror.
func TestEgressListensOnTheLocalPortOfItsOwnConnection(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8 on its loopback device")
	}
	// An address of its own: other programs' connections may hold the same port of a common one.
	own := net.IPv4(127, 77, 20, 26)
	listen := func(port int) (net.Listener, error) {
		return (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(own.String(), strconv.Itoa(port)))
	}
	peer, err := listen(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	dialer := egressDialer()
	dialer.LocalAddr = &net.TCPAddr{IP: own}
	conn, err := dialer.DialContext(t.Context(), "tcp", peer.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	local, ok := conn.LocalAddr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("a local address of type %T", conn.LocalAddr())
	}
	mirror, err := listen(local.Port)
	if err != nil {
		t.Fatalf("port %d, which a connection of our own holds: %v", local.Port, err)
	}
	_ = mirror.Close()
}
