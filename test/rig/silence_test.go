package rig_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/linkspan/linkspan/test/rig"
)

// A silent address reaches nobody on an open connection and answers no new one; afterwards TCP delivers what
// was lost.
func TestSilence(t *testing.T) {
	const address = "203.0.113.253"
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialer := net.Dialer{Timeout: shortly}
	conn, err := dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	silent, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	expectByte := func(patience time.Duration) error {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		_, err := io.ReadFull(conn, make([]byte, 1))
		return err
	}
	say := func() {
		t.Helper()
		if _, err := silent.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	say()
	if err := expectByte(rig.DefaultPatience); err != nil {
		t.Fatal(err)
	}
	restore, err := rig.Silence(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = restore() }) // the second time, unless the test failed
	say()
	if err := expectByte(shortly); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a silent address says something: got error %v, want that nothing comes", err)
	}
	var timeout net.Error
	if _, err := dialer.DialContext(t.Context(), "tcp", listener.Addr().String()); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("dial a silent address: got error %v, want a timeout", err)
	}
	if err := restore(); err != nil {
		t.Fatal(err)
	}
	if err := expectByte(rig.DefaultPatience); err != nil {
		t.Errorf("when the silence is over: got error %v, want what was said meanwhile", err)
	}
}
