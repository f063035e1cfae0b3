package tunnel

import (
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linkspan/linkspan/pkg/gateway/socket"
)

// blackhole makes a socket deaf: its host answers no packet any more, as when it has lost its power.
func blackhole(t *testing.T, conn net.Conn) {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	must(t, err)
	dropAll := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	var filterErr error
	must(t, raw.Control(func(fd uintptr) {
		filterErr = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &dropAll})
	}))
	must(t, filterErr)
}

// probing says whether nothing is on its way, and all that is left waits for room.
func probing(t *testing.T, conn net.Conn) bool {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	must(t, err)
	var info *unix.TCPInfo
	var infoErr error
	must(t, raw.Control(func(fd uintptr) { info, infoErr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }))
	must(t, infoErr)
	return info.Unacked == 0 && info.Backoff > 0
}

// A gateway that is gone is noticed; one whose application takes nothing is not taken for gone.
func TestTheWatchEndsAConnectionWhoseOtherEndIsGoneAndNoOther(t *testing.T) {
	const limit = 600 * time.Millisecond
	fill := func(near net.Conn) {
		_ = near.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		for {
			if _, err := near.Write(make([]byte, 10_000)); err != nil {
				return
			}
		}
	}
	for name, c := range map[string]struct {
		prepare func(near, far net.Conn)
		gone    bool
	}{
		"idle":                          {func(net.Conn, net.Conn) {}, false},
		"idle after bytes":              {func(near, _ net.Conn) { write(t, near, "hello") }, false},
		"a receiver that takes nothing": {func(near, _ net.Conn) { fill(near) }, false},
		"bytes for a dead host":         {func(near, far net.Conn) { blackhole(t, far); write(t, near, "hello") }, true},
		"many of them":                  {func(near, far net.Conn) { blackhole(t, far); fill(near) }, true},
		"dead, and it took nothing before": {func(near, far net.Conn) {
			fill(near)
			eventually(t, "it asks whether there is room", func() bool { return probing(t, near) })
			blackhole(t, far)
		}, true},
		"a closed connection": {func(near, _ net.Conn) { near.Close() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := tcpPair(t)
			aborted := make(chan struct{})
			var once sync.Once
			w := newWatch(near, func() { once.Do(func() { close(aborted) }) }, limit)
			c.prepare(near, far)
			w.start()
			defer w.stop()
			wait := 4 * limit
			if c.gone {
				wait = patience
			}
			select {
			case <-aborted:
				if !c.gone {
					t.Error("it was ended")
				}
			case <-time.After(wait):
				if c.gone {
					t.Error("nobody noticed")
				}
			}
			if w.gaveUp() != c.gone {
				t.Errorf("it says that it gave up: %v", w.gaveUp())
			}
		})
	}
}

// A client that has vanished may be one to which nothing is to be sent: only the kernel's probes find out.
func TestAClientToWhichNothingIsSentIsProbed(t *testing.T) {
	_, server := tlsPair(t)
	raw, err := server.raw.Conn.(syscall.Conn).SyscallConn()
	must(t, err)
	longest := 0
	must(t, raw.Control(func(fd uintptr) {
		option := func(name int) int {
			v, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, name)
			if err != nil {
				t.Error(err)
			}
			return v
		}
		longest = option(unix.TCP_KEEPIDLE) + option(unix.TCP_KEEPINTVL)*option(unix.TCP_KEEPCNT)
	}))
	if longest != 20 {
		t.Errorf("it is noticed after %d s, want 20", longest)
	}
}

func TestAWatchThatWasStoppedDoesNothing(t *testing.T) {
	near, far := tcpPair(t)
	blackhole(t, far)
	write(t, near, "hello")
	w := newWatch(near, func() { t.Error("it ended the connection") }, 30*time.Millisecond)
	w.start()
	w.stop()
	w.start()
	select {
	case <-time.After(200 * time.Millisecond):
	case <-t.Context().Done():
	}
}

// Connections are watched from the handshake to their end.
func TestEveryConnectionIsWatchedUntilItsEnd(t *testing.T) {
	for name, finish := range map[string]func(c *Conn){
		"Abort": (*Conn).Abort,
		"Close": func(c *Conn) { _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := tlsPair(t)
			if client.watch == nil || client.watch.timer == nil || client.watch.limit != socket.Patience {
				t.Fatal("it is not watched")
			}
			finish(client)
			client.watch.mu.Lock()
			defer client.watch.mu.Unlock()
			if !client.watch.stopped {
				t.Error("it still is")
			}
		})
	}
}
