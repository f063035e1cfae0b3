package tunnel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/pipe"
)

// MIR-9: bytes pass unchanged, in whatever sizes they are written.
func TestEveryWayCarriesBytesUnchanged(t *testing.T) {
	eachWay(t, echoing, func(t *testing.T, e *egress, _ *ingress) {
		for _, size := range []int{0, 1, largeWrite, largeWrite + 1, MaxChunk - 1, MaxChunk, MaxChunk + 1, mostGathered + 1, 1 << 20} {
			roundTrip(t, e.dial(), pattern(size))
		}
	})
}

func TestAWriteOfNothingIsNoEnd(t *testing.T) {
	eachWay(t, echoing, func(t *testing.T, e *egress, _ *ingress) {
		s := e.dial()
		write(t, s, "")
		write(t, s, "hello")
		write(t, s, "")
		read(t, s, "hello")
		must(t, s.CloseWrite())
		end(t, s)
	})
}

func TestAFrameIsAChunk(t *testing.T) {
	i := newIngress(t)
	e := newEgress(t, Options{}, Dependencies{}, i)
	framed, ok := e.dial().(pipe.Framed)
	if !ok {
		t.Fatal("a lane does not save the pipe from copying")
	}
	frame := make([]byte, framed.Headroom()+MaxChunk+1)
	if _, err := framed.WriteFrame(frame); err == nil {
		t.Error("a frame that is too long was taken")
	}
	n, err := framed.WriteFrame(frame[:framed.Headroom()])
	if n != 0 || err != nil {
		t.Errorf("an empty frame gives %d, %v", n, err)
	}
	n, err = framed.WriteFrame(frame[:framed.Headroom()+MaxChunk])
	if n != MaxChunk || err != nil {
		t.Errorf("the largest frame gives %d, %v", n, err)
	}
	must(t, framed.CloseWrite())
	if n, err := io.Copy(io.Discard, framed); n != MaxChunk || err != nil {
		t.Errorf("%d bytes came back, %v", n, err)
	}
	if _, err := framed.WriteFrame(frame[:10]); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a frame behind the end gives %v: the ingress takes it for the next stream's header", err)
	}
}

// MIR-9: whichever end speaks and ends first, the other direction goes on.
func TestEitherEndMayEndFirst(t *testing.T) {
	eachWay(t, handing, func(t *testing.T, e *egress, i *ingress) {
		for _, serverFirst := range []bool{true, false} {
			client := e.dial()
			server := i.next(t)
			var first, second Stream = client, server
			if serverFirst {
				first, second = server, client
			}
			write(t, first, "ready")
			read(t, second, "ready")
			must(t, first.CloseWrite())
			end(t, second)
			for range 3 {
				write(t, second, "still here")
				read(t, first, "still here")
			}
			must(t, second.CloseWrite())
			end(t, first)
			must(t, client.Close())
			server.finish(t)
		}
	})
}

func TestBothDirectionsAtOnceDoNotWaitForEachOther(t *testing.T) {
	data := pattern(1 << 20)
	handle := func(in Incoming) {
		_, _ = ask(in, data) // the test looks at the other end
	}
	eachWay(t, handling(handle), func(t *testing.T, e *egress, _ *ingress) {
		var streams sync.WaitGroup
		for range 4 {
			streams.Go(func() {
				s, err := e.Open(t.Context(), e.gateway, target)
				if err == nil {
					err = echoes(s, data)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		streams.Wait()
	})
}

// A cut stream must never look complete: whatever one end does but to end its direction, the other one gets an error.
func TestAnAbortIsNoEnd(t *testing.T) {
	for name, cut := range map[string]func(t *testing.T, cutter, other Stream){
		"at once":                 func(_ *testing.T, c, _ Stream) { c.Abort() },
		"in the middle":           func(t *testing.T, c, o Stream) { write(t, c, "hel"); read(t, o, "hel"); c.Abort() },
		"with bytes on their way": func(t *testing.T, c, _ Stream) { write(t, c, string(pattern(100_000))); c.Abort() },
		"after the other's end":   func(t *testing.T, c, o Stream) { must(t, o.CloseWrite()); end(t, c); c.Abort() },
		"by an early Close":       func(t *testing.T, c, _ Stream) { write(t, c, "hel"); must(t, c.Close()) },
		"by a Close after the other's end": func(t *testing.T, c, o Stream) {
			must(t, o.CloseWrite())
			end(t, c)
			must(t, c.Close())
		},
	} {
		for _, serverCuts := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, by the server %v", name, serverCuts), func(t *testing.T) {
				eachWay(t, handing, func(t *testing.T, e *egress, i *ingress) {
					client := e.dial()
					server := i.next(t)
					var cutter, other Stream = client, server
					if serverCuts {
						cutter, other = server, client
					}
					cut(t, cutter, other)
					if _, err := io.Copy(io.Discard, other); err == nil {
						t.Error("it looks complete")
					}
					if err := writeUntilItFails(other); err == nil {
						t.Error("nobody says that writing is in vain")
					}
					must(t, other.Close())
					must(t, cutter.Close())
					server.finish(t)
				})
			})
		}
	}
}

func writeUntilItFails(s Stream) error {
	timeout := time.Now().Add(patience)
	for time.Now().Before(timeout) {
		if _, err := s.Write(make([]byte, 1000)); err != nil {
			return err
		}
	}
	return nil
}

// When our own direction has ended, an abort is felt by the other one that goes on, and the end stays an end.
func TestAnAbortAfterAnEndCutsTheOtherDirectionOnly(t *testing.T) {
	eachWay(t, handing, func(t *testing.T, e *egress, i *ingress) {
		client := e.dial()
		server := i.next(t)
		write(t, client, "all of it")
		must(t, client.CloseWrite())
		read(t, server, "all of it")
		end(t, server)
		client.Abort()
		if err := writeUntilItFails(server); err == nil {
			t.Error("nobody says that writing is in vain")
		}
		server.finish(t)
	})
}

// GW-12: a refusal comes at once, and with its reason where the wire can say it.
func TestARefusalSaysWhy(t *testing.T) {
	for _, code := range []Code{CodeOther, CodeNotExported, CodeDenied, CodeFull, CodeUnreachable, CodeBadHeader, CodeWithdrawn} {
		t.Run(code.String(), func(t *testing.T) {
			eachWay(t, handling(func(in Incoming) { in.Refuse(code) }), func(t *testing.T, e *egress, _ *ingress) {
				for _, sends := range []int{0, 5, 1 << 20} {
					s := e.dial()
					var writer sync.WaitGroup
					writer.Go(func() { _, _ = s.Write(pattern(sends)) }) // fails, or is not noticed
					n, err := io.Copy(io.Discard, s)
					if n > 0 || err == nil {
						t.Errorf("%d bytes came, and %v", n, err)
					}
					refused, ok := errors.AsType[*RefusedError](err)
					if s.Via() != ViaTLS && sends < lingerBytes && (!ok || refused.Code != code) {
						t.Errorf("the reason is %v", err)
					}
					must(t, s.Close())
					writer.Wait()
				}
			})
		})
	}
}

// When an ingress ends, its streams are cut; so are they when an egress does.
func TestKillingEitherEndCutsTheStream(t *testing.T) {
	t.Run("the ingress", func(t *testing.T) {
		eachWay(t, echoing, func(t *testing.T, e *egress, i *ingress) {
			s := e.dial()
			write(t, s, "hello")
			read(t, s, "hello")
			i.stop()
			if _, err := io.Copy(io.Discard, s); err == nil {
				t.Error("it looks complete")
			}
		})
	})
	t.Run("the egress", func(t *testing.T) {
		saw := make(chan error, 2)
		handle := func(in Incoming) {
			_, err := io.Copy(in, in)
			saw <- err
			_ = in.Close()
		}
		eachWay(t, handling(handle), func(t *testing.T, e *egress, _ *ingress) {
			s := e.dial()
			write(t, s, "hello")
			read(t, s, "hello")
			s.Abort()
			must(t, s.Close())
			e.close()
			if err := soon(t, "the end of the stream", saw); err == nil {
				t.Error("it looks complete")
			}
		})
	})
}

func TestCallsMayMeetAndComeAgain(t *testing.T) {
	eachWay(t, echoing, func(t *testing.T, e *egress, _ *ingress) {
		for n := range 30 {
			s := e.dial()
			var calls sync.WaitGroup
			calls.Go(func() { _, _ = s.Write(pattern(200_000)) })
			calls.Go(func() { _, _ = io.Copy(io.Discard, s) })
			for range 2 {
				calls.Go(s.Abort)
			}
			if n%2 == 0 {
				calls.Go(func() { _ = s.Close() })
			}
			calls.Wait()
			must(t, s.Close())
			must(t, s.Close())
			s.Abort()
		}
		roundTrip(t, e.dial(), pattern(1000))
	})
}

func TestADeadlineIsAnErrorAndLosesNothing(t *testing.T) {
	eachWay(t, handing, func(t *testing.T, e *egress, i *ingress) {
		client := e.dial()
		server := i.next(t)
		for range 3 {
			must(t, client.SetReadDeadline(time.Now().Add(time.Millisecond)))
			if _, err := client.Read(make([]byte, 1)); !isTimeout(err) {
				t.Fatalf("got %v", err)
			}
			must(t, client.SetReadDeadline(noDeadline))
			write(t, server, "hello")
			read(t, client, "hello")
		}
		server.finish(t)
	})
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
