package pipe

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// flood writes until that fails.
func flood(t *testing.T, to Stream) {
	t.Helper()
	var writing sync.WaitGroup
	writing.Go(func() {
		for block := make([]byte, bigSize); ; {
			if _, err := to.Write(block); err != nil {
				return
			}
		}
	})
	t.Cleanup(writing.Wait)
}

// watched counts how often a stream was asked whether it is gone.
type watched struct {
	Stream
	looks atomic.Int64
}

func (w *watched) Gone() error {
	w.looks.Add(1)
	return w.Stream.Gone()
}

// expectLooks waits until a stream has been looked at so many more times.
func expectLooks(t *testing.T, w *watched, n int64) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	timeout := time.After(patience)
	for until := w.looks.Load() + n; w.looks.Load() < until; {
		select {
		case <-again.C:
		case <-timeout:
			t.Fatal("nobody looks")
		}
	}
}

// Whoever leaves is noticed while the other side takes nothing, or says nothing.
func TestASideThatIsGoneIsNoticedAlthoughNobodyReadsIt(t *testing.T) {
	for kind, pair := range kinds {
		for _, leaving := range []Side{Client, Server} {
			for name, prepare := range map[string]func(t *testing.T, leaves, stays Stream){
				"the other one reads nothing": func(t *testing.T, leaves, _ Stream) { flood(t, leaves) },
				"the other one says nothing, and this one has ended": func(t *testing.T, leaves, stays Stream) {
					must(t, leaves.CloseWrite())
					end(t, stays)
				},
			} {
				t.Run(kind+", the "+string(leaving)+", "+name, func(t *testing.T) {
					leaves, joinedLeaves := pair(t)
					stays, joinedStays := pair(t)
					asked := &watched{Stream: joinedLeaves}
					client, server := Stream(asked), joinedStays
					if leaving == Server {
						client, server = joinedStays, asked
					}
					wait := joined(t, client, server, Options{})
					prepare(t, leaves, stays)
					expectLooks(t, asked, 3) // alive, it may stay for ever
					leaves.Abort()
					if r := wait(); r.Err == nil || r.At != leaving {
						t.Errorf("the result says %+v", r)
					}
					if _, err := io.Copy(io.Discard, stays); err == nil && name == "the other one reads nothing" {
						t.Error("what it was sent looks complete")
					}
				})
			}
		}
	}
}

// A receiver that is there may take nothing for as long as it likes.
func TestAReceiverMayTakeItsTime(t *testing.T) {
	for kind, pair := range kinds {
		t.Run(kind, func(t *testing.T) {
			client, joinedClient := pair(t)
			server, joinedServer := pair(t)
			asked := &watched{Stream: joinedClient}
			wait := joined(t, asked, joinedServer, Options{})
			must(t, server.CloseWrite())
			end(t, client)
			const size = 20 << 20 // more than any socket holds
			var writing sync.WaitGroup
			var writeErr error
			writing.Go(func() {
				_, err := client.Write(make([]byte, size))
				writeErr = errors.Join(err, client.CloseWrite())
			})
			expectLooks(t, asked, 5*leftLooks)
			n, err := io.Copy(io.Discard, server)
			writing.Wait()
			if r := wait(); n != size || err != nil || writeErr != nil || r.Err != nil {
				t.Errorf("%d bytes came (%v, %v): %+v", n, err, writeErr, r)
			}
		})
	}
}

// leaver is a client that gets its end, and is gone then; all that it had sent has come.
type leaver struct {
	*scripted
	got   chan struct{}
	looks atomic.Int64
}

func (l *leaver) CloseWrite() error {
	close(l.got)
	return nil
}

func (l *leaver) Gone() error {
	select {
	case <-l.got:
		l.looks.Add(1)
		return errReset
	default:
		return nil
	}
}

// taker takes what it is sent only after so many looks at the client, or not before it is cut.
type taker struct {
	*scripted
	client *leaver
	after  int64
}

func (k taker) Write(p []byte) (int, error) {
	again := time.NewTicker(100 * time.Microsecond)
	defer again.Stop()
	for until := k.client.looks.Load() + k.after; k.client.looks.Load() < until; {
		select {
		case <-again.C:
		case <-k.cut:
			return 0, errReset
		}
	}
	return len(p), nil
}

// nibbler takes a little all the time, although each Write lasts for many looks.
type nibbler struct{ taker }

func (n nibbler) Taken() uint64 { return uint64(n.client.looks.Load()) }

// The last bytes of a stream are delivered although their sender is gone, if anybody takes them.
func TestWhatASideThatIsGoneHasLeftIsDelivered(t *testing.T) {
	for name, c := range map[string]struct {
		after  int64
		moved  int64
		nibble bool
		failed bool
	}{
		"slowly":                         {after: leftLooks / 2, moved: 50},
		"slowly, in writes that last":    {after: 2 * leftLooks, moved: 50, nibble: true},
		"but not to one who never reads": {after: 1 << 40, failed: true},
	} {
		t.Run(name, func(t *testing.T) {
			ten := read{10, nil}
			client := &leaver{scripted: script(ten, ten, ten, ten, ten, read{0, io.EOF}), got: make(chan struct{})}
			slow := taker{script(read{0, io.EOF}), client, c.after}
			server := Stream(slow)
			if c.nibble {
				server = nibbler{slow}
			}
			r := joined(t, client, server, Options{})()
			if r.ToServer != c.moved || c.failed != errors.Is(r.Err, errReset) {
				t.Errorf("got %+v", r)
			}
			if c.failed && (r.At != Client || client.looks.Load() <= leftLooks) {
				t.Errorf("given up after %d looks: %+v", client.looks.Load(), r)
			}
		})
	}
}

// TCP's end in good order is none, whoever ends first.
func TestATCPConnectionThatEndedInGoodOrderIsNotGone(t *testing.T) {
	a, b := tcpPair(t)
	near, far := TCP(a), TCP(b)
	must(t, near.CloseWrite())
	must(t, near.Gone())
	must(t, far.CloseWrite())
	must(t, near.Gone())
	must(t, far.Gone())
	end(t, near)
	end(t, far)
	must(t, near.Gone())
	must(t, far.Gone())
	must(t, far.Close())
	must(t, near.Gone())
	must(t, near.Close())
	if near.Gone() == nil {
		t.Error("a connection that was closed is alive")
	}
}
