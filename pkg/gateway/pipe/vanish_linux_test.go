package pipe

import (
	"errors"
	"io"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linkspan/linkspan/pkg/gateway/socket"
)

// vanish makes a host deaf: it answers no packet any more, as when it has lost its power.
func vanish(t *testing.T, conn syscall.Conn) {
	t.Helper()
	raw, err := conn.SyscallConn()
	must(t, err)
	dropAll := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	var filterErr error
	must(t, raw.Control(func(fd uintptr) {
		filterErr = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &dropAll})
	}))
	must(t, filterErr)
}

// A host that vanishes while something is on its way to it is noticed long before TCP gives up, whether the pipe
// is stuck in writing to it or not.
func TestAHostThatVanishesIsNoticed(t *testing.T) {
	for name, send := range map[string]func(t *testing.T, server Stream){
		"a message":  func(t *testing.T, server Stream) { _, err := server.Write([]byte("hello")); must(t, err) },
		"a download": func(t *testing.T, server Stream) { flood(t, server) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, joinedClient := tcpPair(t)
			server, joinedServer := tcpPair(t)
			began := time.Now() // before the pipe first looks, from when it counts
			wait := joined(t, TCP(joinedClient), TCP(joinedServer), Options{})
			vanish(t, client)
			send(t, TCP(server))
			r := wait()
			if r.At != Client || !errors.Is(r.Err, socket.ErrUnanswered) {
				t.Errorf("the result says %+v", r)
			}
			if took := time.Since(began); took < socket.Patience {
				t.Errorf("it was ended after %v: it had %v to answer", took, socket.Patience)
			}
		})
	}
}

// An idle host, or one that takes nothing but answers, is there.
func TestAHostThatAnswersHasNotVanished(t *testing.T) {
	client, joinedClient := tcpPair(t)
	server, joinedServer := tcpPair(t)
	asked := &watched{Stream: TCP(joinedServer)}
	wait := joined(t, TCP(joinedClient), asked, Options{})
	from := TCP(server)
	const size = 20 << 20 // more than any socket holds
	var writing sync.WaitGroup
	var writeErr error
	writing.Go(func() {
		_, err := from.Write(make([]byte, size))
		writeErr = errors.Join(err, from.CloseWrite())
	})
	expectLooks(t, asked, 1000)
	n, err := io.Copy(io.Discard, client)
	writing.Wait()
	must(t, client.CloseWrite())
	if r := wait(); n != size || err != nil || writeErr != nil || r.Err != nil {
		t.Errorf("%d bytes came (%v, %v): %+v", n, err, writeErr, r)
	}
}

// A connection knows what the other end has taken, while a Write lasts.
func TestTCPKnowsWhatWasTaken(t *testing.T) {
	a, b := tcpPair(t)
	near, ok := TCP(a).(*tcp)
	if !ok {
		t.Fatal("it is something else")
	}
	var writing sync.WaitGroup
	writing.Go(func() { _, _ = near.Write(make([]byte, 64<<20)) })
	t.Cleanup(writing.Wait)
	t.Cleanup(near.Abort)
	block := make([]byte, 1<<20)
	for range 8 {
		before := near.Taken()
		if _, err := io.ReadFull(b, block); err != nil {
			t.Fatal(err)
		}
		for again := time.NewTicker(time.Millisecond); near.Taken() == before; <-again.C {
			if t.Context().Err() != nil {
				t.Fatal("what is read does not count as taken")
			}
		}
	}
}
