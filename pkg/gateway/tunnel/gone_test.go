package tunnel

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// fill writes until there is no room, and goes on until the stream is cut. Nobody else writes.
func fill(t *testing.T, s Stream) {
	t.Helper()
	var written atomic.Int64
	var writing sync.WaitGroup
	writing.Go(func() {
		for block := make([]byte, 60_000); ; {
			n, err := s.Write(block)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		s.Abort()
		writing.Wait()
	})
	last, same := int64(-1), 0
	eventually(t, "there is no room", func() bool {
		now := written.Load()
		if now != last {
			last, same = now, 0
		}
		same++
		return now > 0 && same > 100
	})
}

// eachEnd runs a test with each end of a stream as the one that looks at the other.
func eachEnd(t *testing.T, test func(t *testing.T, looks, other Stream)) {
	t.Helper()
	for name, ingressLooks := range map[string]bool{"the ingress looks": true, "the egress looks": false} {
		t.Run(name, func(t *testing.T) {
			eachWay(t, handing, func(t *testing.T, e *egress, i *ingress) {
				near := e.dial()
				far := i.next(t)
				defer close(far.released)
				if ingressLooks {
					test(t, far.Stream, near)
				} else {
					test(t, near, far.Stream)
				}
			})
		})
	}
}

// Whoever writes a stream's bytes elsewhere, and is held up there, can ask whether it is still wanted.
func TestAnEndThatIsGoneIsKnownAlthoughNothingIsRead(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, looks, other Stream){
		"after nothing":                           func(*testing.T, Stream, Stream) {},
		"after as much as there is room for":      func(t *testing.T, _, other Stream) { fill(t, other) },
		"after its end":                           func(t *testing.T, _, other Stream) { must(t, other.CloseWrite()) },
		"after its end, which was read":           func(t *testing.T, looks, other Stream) { must(t, other.CloseWrite()); end(t, looks) },
		"after bytes and its end":                 func(t *testing.T, _, other Stream) { write(t, other, "hello"); must(t, other.CloseWrite()) },
		"after our end":                           func(t *testing.T, looks, _ Stream) { must(t, looks.CloseWrite()) },
		"after our end, and as much as there can": func(t *testing.T, looks, other Stream) { must(t, looks.CloseWrite()); fill(t, other) },
	} {
		t.Run(name, func(t *testing.T) {
			eachEnd(t, func(t *testing.T, looks, other Stream) {
				prepare(t, looks, other)
				for range 100 {
					must(t, looks.Gone())
				}
				other.Abort()
				eventually(t, "it is known to be gone", func() bool { return looks.Gone() != nil })
				if err := looks.Gone(); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("it is gone for %v, want a reset", err)
				}
			})
		})
	}
}

// A renewal that no longer trusts a gateway ends the connection, and whoever is held up elsewhere can know.
func TestAnEndWhoseConnectionWasEndedIsKnownToBeGone(t *testing.T) {
	for name, lose := range map[string]func(e *egress, i *ingress){
		"by a renewal":   func(e *egress, _ *ingress) { e.Renew() },
		"by the ingress": func(_ *egress, i *ingress) { i.cancel() },
	} {
		for _, w := range ways {
			t.Run(name+", "+w.via, func(t *testing.T) {
				i := newIngress(t, speaking(w.alpn...), handing)
				e := newEgress(t, w.options, Dependencies{Trusted: func(tls.ConnectionState) error { return errors.New("not any more") }}, i)
				near := e.dial()
				far := i.next(t)
				defer close(far.released)
				must(t, far.CloseWrite())
				end(t, near)
				must(t, near.Gone())
				lose(e, i)
				eventually(t, "it is known to be gone", func() bool { return near.Gone() != nil })
			})
		}
	}
}

func TestAStreamWhoseConnectionTimedOutIsGoneForThat(t *testing.T) {
	client, _ := tlsPair(t)
	client.watch.dead.Store(true)
	client.Abort()
	if err := client.Gone(); !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("it is gone for %v", err)
	}
	if err := (&Conn{}).Gone(); err != nil { // where the system tells nothing
		t.Error(err)
	}
}

// Looking changes nothing: all bytes come, and no others.
func TestLookingDisturbsNobody(t *testing.T) {
	eachWay(t, echoing, func(t *testing.T, e *egress, _ *ingress) {
		s := e.dial()
		stop := make(chan struct{})
		var looking sync.WaitGroup
		for range 2 {
			looking.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if err := s.Gone(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.ECONNRESET) {
						t.Error(err)
						return
					}
				}
			})
		}
		roundTrip(t, s, pattern(5<<20))
		close(stop)
		looking.Wait()
	})
}

// Looking does not take the effect of an abort back.
func TestAnAbortWakesWhoWaitsWhileSomebodyLooks(t *testing.T) {
	eachWay(t, handing, func(t *testing.T, e *egress, i *ingress) {
		for range 20 {
			s := e.dial()
			far := i.next(t)
			stop := make(chan struct{})
			var looking, calls sync.WaitGroup
			looking.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						_ = s.Gone() // it is, in the end
					}
				}
			})
			calls.Go(func() { _, _ = s.Read(make([]byte, 1)) })
			calls.Go(func() {
				for block := make([]byte, 60_000); ; {
					if _, err := s.Write(block); err != nil {
						return
					}
				}
			})
			s.Abort()
			calls.Wait()
			close(stop)
			looking.Wait()
			must(t, s.Close())
			far.Abort()
			far.finish(t)
		}
	})
}
