package pipe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// plan is what one side does: writes its bytes in pieces, and then ends or aborts.
type plan struct {
	bytes  []byte
	pieces []int
	abort  bool
}

func randomPlan(r *rand.Rand, abort bool) plan {
	sizes := []int{0, 1, 100, smallSize - headroom, smallSize, smallSize + 1, bigSize - headroom, bigSize, bigSize + 1, 200_000}
	p := plan{bytes: make([]byte, sizes[r.IntN(len(sizes))]), abort: abort}
	for i := range p.bytes {
		p.bytes[i] = byte(r.Uint32())
	}
	for left := len(p.bytes); left > 0; {
		n := min(left, 1+r.IntN(1<<r.IntN(18)))
		p.pieces = append(p.pieces, n)
		left -= n
	}
	return p
}

// seen is what one side got.
type seen struct {
	bytes []byte
	err   error // nil for an end
}

// play lets a side follow its plan while it reads all that comes.
func (p plan) play(side Stream) seen {
	var wg sync.WaitGroup
	wg.Go(func() {
		rest := p.bytes
		for _, n := range p.pieces {
			if _, err := side.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
		if p.abort {
			side.Abort()
		} else {
			_ = side.CloseWrite() // fails when the other side aborts
		}
	})
	got, err := io.ReadAll(side)
	wg.Wait()
	return seen{got, err}
}

// MIR-9: bytes arrive as they were sent, ends as ends and aborts as aborts, in whatever pieces and order.
func TestWhateverGoesThroughArrivesAndACutIsNeverAnEnd(t *testing.T) {
	for clientKind, newClient := range kinds {
		for serverKind, newServer := range kinds {
			t.Run(clientKind+" to "+serverKind, func(t *testing.T) {
				for seed := range uint64(16) {
					r := rand.New(rand.NewPCG(seed, 1))
					clientEnd, client := newClient(t)
					serverEnd, server := newServer(t)
					clientPlan, serverPlan := randomPlan(r, seed%4 == 1), randomPlan(r, seed%4 == 2)
					var toServer, toClient atomic.Int64
					wait := joined(t, client, server, Options{Moved: func(to Side, n int) {
						if to == Server {
							toServer.Add(int64(n))
						} else {
							toClient.Add(int64(n))
						}
					}})
					var clientSaw, serverSaw seen
					var apps sync.WaitGroup
					apps.Go(func() { clientSaw = clientPlan.play(clientEnd) })
					apps.Go(func() { serverSaw = serverPlan.play(serverEnd) })
					result := wait()
					apps.Wait()
					check(t, seed, clientPlan, serverSaw)
					check(t, seed, serverPlan, clientSaw)
					if toServer.Load() != result.ToServer || toClient.Load() != result.ToClient {
						t.Fatalf("seed %d: Moved told of %d and %d bytes, the result of %+v", seed, toServer.Load(), toClient.Load(), result)
					}
					if clientPlan.abort || serverPlan.abort {
						if result.Err == nil || result.At == "" {
							t.Fatalf("seed %d: a stream that was aborted gives %+v", seed, result)
						}
						continue
					}
					if result.Err != nil || result.ToServer != int64(len(clientPlan.bytes)) || result.ToClient != int64(len(serverPlan.bytes)) {
						t.Fatalf("seed %d: a stream of %d and %d bytes gives %+v", seed, len(clientPlan.bytes), len(serverPlan.bytes), result)
					}
				}
			})
		}
	}
}

// check holds what one side got against what the other one did.
func check(t *testing.T, seed uint64, sent plan, got seen) {
	t.Helper()
	switch {
	case !bytes.HasPrefix(sent.bytes, got.bytes):
		t.Fatalf("seed %d: %d bytes arrived that are not those that were sent", seed, len(got.bytes))
	case got.err == nil && sent.abort:
		t.Fatalf("seed %d: an abort behind %d bytes looks like an end", seed, len(got.bytes))
	case got.err == nil && len(got.bytes) != len(sent.bytes):
		t.Fatalf("seed %d: %d of %d bytes look complete", seed, len(got.bytes), len(sent.bytes))
	}
}

// MIR-9: a server may speak first, as mail and database servers do, and a side that has ended goes on reading.
func TestEitherSideMaySpeakFirstAndEndFirst(t *testing.T) {
	for kind, pair := range kinds {
		t.Run(kind, func(t *testing.T) {
			for _, serverFirst := range []bool{true, false} {
				client, joinedClient := pair(t)
				server, joinedServer := pair(t)
				wait := joined(t, joinedClient, joinedServer, Options{})
				first, second := client, server
				if serverFirst {
					first, second = server, client
				}
				say(t, first, second, "ready")
				say(t, second, first, "hello")
				must(t, first.CloseWrite())
				if n, err := second.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
					t.Fatalf("an end came as %d bytes and %v", n, err)
				}
				for range 3 {
					say(t, second, first, "still here")
				}
				must(t, second.CloseWrite())
				if n, err := first.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
					t.Fatalf("the second end came as %d bytes and %v", n, err)
				}
				if r := wait(); r.Err != nil || r.ToServer+r.ToClient != 40 {
					t.Errorf("got %+v", r)
				}
			}
		})
	}
}

func say(t *testing.T, from, to Stream, what string) {
	t.Helper()
	var writer sync.WaitGroup
	var writeErr error
	writer.Go(func() { _, writeErr = from.Write([]byte(what)) })
	got := make([]byte, len(what))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != what {
		t.Fatalf("got %q, %v instead of %q", got, err, what)
	}
	writer.Wait()
	must(t, writeErr)
}

// An abort from outside, as when an export is withdrawn, ends a Join that waits for both sides, or for a side that does
// not take what it is sent.
func TestAnAbortFromOutsideEndsBothDirections(t *testing.T) {
	for kind, pair := range kinds {
		for _, stalled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stalled %v", kind, stalled), func(t *testing.T) {
				client, joinedClient := pair(t)
				server, joinedServer := pair(t)
				wait := joined(t, joinedClient, joinedServer, Options{})
				var writer sync.WaitGroup
				if stalled {
					writer.Go(func() {
						for block := make([]byte, bigSize); ; {
							if _, err := client.Write(block); err != nil {
								return
							}
						}
					})
				} else {
					say(t, client, server, "hello")
				}
				joinedClient.Abort()
				joinedServer.Abort()
				if r := wait(); r.Err == nil {
					t.Error("the result says nothing of it")
				}
				writer.Wait()
				for name, side := range map[string]Stream{"client": client, "server": server} {
					if _, err := io.Copy(io.Discard, side); err == nil {
						t.Errorf("the %s sees an end", name)
					}
				}
				// Again, and after Close.
				joinedClient.Abort()
				must(t, joinedClient.Close())
			})
		}
	}
}

// scripted is a stream whose calls are written down beforehand.
type scripted struct {
	reads         []read
	writeErr      error
	closeWriteErr error
	cut           chan struct{}
	asked         []int
	once          sync.Once
}

type read struct {
	n   int
	err error
}

func script(reads ...read) *scripted { return &scripted{reads: reads, cut: make(chan struct{})} }

func (s *scripted) Read(p []byte) (int, error) {
	s.asked = append(s.asked, len(p))
	if len(s.reads) == 0 {
		<-s.cut
		return 0, errReset
	}
	next := s.reads[0]
	s.reads = s.reads[1:]
	return min(next.n, len(p)), next.err
}

func (s *scripted) Write(p []byte) (int, error) {
	if s.writeErr != nil {
		return len(p) / 2, s.writeErr
	}
	return len(p), nil
}

func (s *scripted) CloseWrite() error { return s.closeWriteErr }
func (s *scripted) Close() error      { s.Abort(); return nil }
func (s *scripted) Gone() error       { return nil }
func (s *scripted) Abort()            { s.once.Do(func() { close(s.cut) }) }

func TestTheResultSaysWhichSideFailed(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		client, server *scripted
		at             Side
		toServer       int64
		err            error
	}{
		"reading from the client":                    {script(read{5, nil}, read{0, boom}), script(), Client, 5, boom},
		"reading from the server":                    {script(), script(read{0, boom}), Server, 0, boom},
		"writing to the server":                      {script(read{10, nil}), &scripted{writeErr: boom, cut: make(chan struct{})}, Server, 5, boom},
		"ending the server's direction":              {script(read{0, io.EOF}), &scripted{closeWriteErr: boom, cut: make(chan struct{})}, Server, 0, boom},
		"bytes that come with the error are kept":    {script(read{7, boom}), script(), Client, 7, boom},
		"an end of something below is a cut":         {script(read{3, fmt.Errorf("lost: %w", io.EOF)}), script(), Client, 3, io.EOF},
		"an end in the middle of something is a cut": {script(read{3, io.ErrUnexpectedEOF}), script(), Client, 3, io.ErrUnexpectedEOF},
		"nothing, as both ended":                     {script(read{3, io.EOF}), script(read{0, io.EOF}), "", 3, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := joined(t, c.client, c.server, Options{})()
			if r.At != c.at || !errors.Is(r.Err, c.err) || r.ToServer != c.toServer {
				t.Errorf("got %+v, want %v at the %q and %d bytes", r, c.err, c.at, c.toServer)
			}
		})
	}
}

// A direction that waits holds a small buffer; only one that has much to move takes a large one.
func TestABufferGrowsWithWhatComesAndShrinksAgain(t *testing.T) {
	for name, room := range map[string]int{"without headroom": 0, "with headroom": headroom} {
		t.Run(name, func(t *testing.T) {
			small, big := smallSize-room, bigSize-room
			client := script(read{10, nil}, read{small, nil}, read{big, nil}, read{small, nil}, read{small - 1, nil}, read{1, nil}, read{0, io.EOF})
			var server Stream = script(read{0, io.EOF})
			if room > 0 {
				mem, other := memoryPair(1 << 20)
				must(t, other.CloseWrite())
				server = framed{mem}
			}
			if r := joined(t, client, server, Options{})(); r.Err != nil {
				t.Fatal(r.Err)
			}
			want := []int{small, small, big, big, big, small, small}
			if fmt.Sprint(client.asked) != fmt.Sprint(want) {
				t.Errorf("it read up to %v bytes, want %v", client.asked, want)
			}
		})
	}
}

func TestTheFirstByteIsTheServersFirst(t *testing.T) {
	start := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		server []read
		want   time.Duration
	}{
		"nothing came":            {[]read{{0, io.EOF}}, 0},
		"it came at once":         {[]read{{1, nil}, {1, io.EOF}}, time.Second},
		"only the first counts":   {[]read{{1, nil}, {1, nil}, {1, io.EOF}}, time.Second},
		"an end is no first byte": {[]read{{0, nil}, {0, io.EOF}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			now := func() time.Time { return start.Add(time.Duration(calls.Add(1)-1) * time.Second) }
			r := joined(t, script(read{9, nil}, read{0, io.EOF}), script(c.server...), Options{Now: now})()
			if r.Err != nil || r.FirstByte != c.want {
				t.Errorf("got %v, want %v: %+v", r.FirstByte, c.want, r)
			}
		})
	}
	t.Run("a clock that stands still", func(t *testing.T) {
		r := joined(t, script(read{0, io.EOF}), script(read{1, io.EOF}), Options{Now: func() time.Time { return start }})()
		if r.FirstByte <= 0 {
			t.Errorf("got %v: there was a first byte", r.FirstByte)
		}
	})
}

func TestJoinClosesBothStreams(t *testing.T) {
	clientEnd, client := memoryPair(10)
	serverEnd, server := memoryPair(10)
	wait := joined(t, client, server, Options{})
	must(t, clientEnd.CloseWrite())
	must(t, serverEnd.CloseWrite())
	wait()
	if !client.isClosed() || !server.isClosed() {
		t.Error("a stream is still open")
	}
}

// When a process is killed, the kernel closes its connections in the ordinary way. That must not look like an end either.
func TestAKilledProcessLeavesNoEnd(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, near, far Stream){
		"at once":         func(*testing.T, Stream, Stream) {},
		"in the middle":   func(t *testing.T, near, far Stream) { say(t, near, far, "hello") },
		"after their end": func(t *testing.T, near, far Stream) { must(t, far.CloseWrite()); end(t, near) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := tcpPair(t)
			near, far := TCP(a), TCP(b)
			prepare(t, near, far)
			must(t, a.Close()) // as the kernel does
			if n, err := far.Read(make([]byte, 1)); n > 0 || err == nil || ended(err) {
				t.Errorf("got %d bytes and %v", n, err)
			}
		})
	}
}

// A TCP connection that is closed early must not look ended: the kernel would send the same as for an end.
func TestClosingTCPBeforeBothEndsIsAnAbort(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, near, far Stream){
		"at once":                   func(*testing.T, Stream, Stream) {},
		"after our end":             func(t *testing.T, near, _ Stream) { must(t, near.CloseWrite()) },
		"after the other one's end": func(t *testing.T, near, far Stream) { must(t, far.CloseWrite()); end(t, near) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := tcpPair(t)
			near, far := TCP(a), TCP(b)
			prepare(t, near, far)
			must(t, near.Close())
			// A reset that follows an end shows where it concerns the other direction: in writing.
			deadline := time.Now().Add(patience)
			for err := error(nil); err == nil; {
				if _, err = far.Write([]byte("x")); time.Now().After(deadline) {
					t.Fatal("the other side does not notice")
				}
				if name == "at once" {
					_, err = far.Read(make([]byte, 1))
					if errors.Is(err, io.EOF) {
						t.Fatal("it looks like an end")
					}
				}
			}
		})
	}
	t.Run("after both it is not", func(t *testing.T) {
		a, b := tcpPair(t)
		near, far := TCP(a), TCP(b)
		must(t, near.CloseWrite())
		must(t, far.CloseWrite())
		end(t, near)
		must(t, near.Close())
		end(t, far)
	})
}

func end(t *testing.T, s Stream) {
	t.Helper()
	if n, err := s.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("got %d bytes and %v instead of an end", n, err)
	}
}
