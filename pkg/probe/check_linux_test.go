package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// LESSON-60: a real connection attempt that gets no answer ends as soon as its probe is stopped. A
// listener whose queue is full makes the kernel drop SYN packets.
func TestCheckStopsWhileSYNsAreDropped(t *testing.T) {
	listener, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(listener) }()
	if err := errors.Join(
		syscall.Bind(listener, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
		syscall.Listen(listener, 0),
	); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(listener)
	if err != nil {
		t.Fatal(err)
	}
	bound, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		t.Fatalf("listener is bound to %T", name)
	}
	address := netip.AddrPortFrom(netip.AddrFrom4(bound.Addr), uint16(bound.Port))
	fillQueue(t, address.String())

	ctx, cancel := context.WithCancel(t.Context())
	dialing := make(chan struct{})
	var dialer net.Dialer
	ended := make(chan error, 1)
	go func() {
		_, err := Check(ctx, func(ctx context.Context, network, address string) (net.Conn, error) {
			close(dialing)
			return dialer.DialContext(ctx, network, address)
		}, Target{IP: address.Addr(), Port: address.Port(), Path: "/", Timeout: time.Minute})
		ended <- err
	}()
	<-dialing
	stopped := time.Now()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want %v", err, context.Canceled)
	}
	if took := time.Since(stopped); took > time.Second {
		t.Errorf("stopped after %v, want less than 1s", took)
	}
}

// fillQueue connects until a connection no longer succeeds.
func fillQueue(t *testing.T, address string) {
	t.Helper()
	dialer := net.Dialer{Timeout: 300 * time.Millisecond}
	for range 16 {
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		if err != nil {
			return
		}
		t.Cleanup(func() { closeConn(conn) })
	}
	t.Skip("this kernel does not drop connections when a listener's queue is full")
}
