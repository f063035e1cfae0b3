package tunnel

import (
	"io"
	"sync"
	"sync/atomic"
	"testing"
)

// A drain loses no stream, as long as another ingress listens: not one that is open, not one that begins just then on what
// is open, and not the last bytes of one that has just ended.
func TestADrainLosesNoStream(t *testing.T) {
	for _, w := range []way{
		{ViaTLS, linkerdALPN, Options{}},
		{ViaLane, ourALPN, Options{Lanes: 1000}},
		{ViaMux, ourALPN, Options{Lanes: -1, Sessions: 2}},
		{"", ourALPN, Options{Lanes: 2, Sessions: 1}},
	} {
		t.Run("by "+w.via, func(t *testing.T) {
			var failed atomic.Int64
			var done [6]atomic.Int64 // streams of each client
			count := handling(func(in Incoming) {
				request, err := io.ReadAll(in)
				if err != nil {
					failed.Add(1)
				}
				if _, err := in.Write(request); err == nil {
					_ = in.CloseWrite() // the client says what it got
				}
				_ = in.Close()
			})
			settings := []setting{speaking(w.alpn...), count}
			pair := []*ingress{newIngress(t, settings...), newIngress(t, settings...)}
			e := newEgress(t, w.options, Dependencies{}, pair...)
			stop := make(chan struct{})
			var clients sync.WaitGroup
			for n := range done {
				clients.Go(func() {
					request := pattern(10 + 30_000*(n%3))
					for {
						select {
						case <-stop:
							return
						default:
						}
						s, err := e.Open(t.Context(), e.gateway, target)
						if err == nil {
							err = echoes(s, request)
						}
						if err != nil {
							t.Errorf("a stream was lost: %v", err)
							return
						}
						done[n].Add(1)
					}
				})
			}
			long, err := e.Open(t.Context(), e.gateway, target)
			must(t, err)
			for round := range 8 {
				// Nobody may still be on the way to the one that was away just now: that would find both away.
				for n := range done {
					now := done[n].Load()
					eventually(t, "there is traffic", func() bool { return done[n].Load() > now+2 || t.Failed() })
				}
				one := round % 2
				address := pair[one].address()
				gone := pair[one].drain()
				switch round { // by now whichever has the long stream waits for it
				case 0:
					write(t, long, "still ")
				case 1:
					if answer, err := ask(long, []byte("here")); err != nil || string(answer) != "still here" {
						t.Errorf("the long stream ends with %q, %v", answer, err)
					}
				default:
					soon(t, "the end of the drain", gone)
				}
				pair[one] = newIngress(t, append(settings, at(address))...)
			}
			close(stop)
			clients.Wait()
			if n := failed.Load(); n > 0 {
				t.Errorf("%d requests were cut", n)
			}
		})
	}
}

// The egress is the one to end what drains, and it does so when nothing is open on it.
func TestADrainEndsWhenTheLastStreamDoes(t *testing.T) {
	eachWay(t, handing, func(t *testing.T, e *egress, i *ingress) {
		for range 3 {
			idle := e.dial()
			server := i.next(t)
			must(t, server.CloseWrite())
			must(t, idle.CloseWrite())
			end(t, idle)
			end(t, server)
			server.finish(t)
			must(t, idle.Close())
		}
		s := e.dial()
		server := i.next(t)
		gone := i.drain()
		write(t, s, "hello")
		read(t, server, "hello")
		select {
		case <-gone:
			t.Fatal("it does not wait for its stream")
		default:
		}
		must(t, server.CloseWrite())
		must(t, s.CloseWrite())
		end(t, s)
		end(t, server)
		server.finish(t)
		must(t, s.Close())
		soon(t, "the end of the drain", gone)
	})
}

// A session that is asked to end is closed by the ingress, behind everything that the egress sent. An application that has not
// taken all of a stream by then still gets it.
func TestASessionThatEndsLosesNothing(t *testing.T) {
	data := pattern(200_000)
	for range 20 {
		i := newIngress(t, handing)
		e := newEgress(t, Options{Lanes: -1, Sessions: 1}, Dependencies{}, i)
		s := e.dial()
		server := i.next(t)
		_, err := s.Write(data)
		must(t, err)
		must(t, server.CloseWrite())
		end(t, s)
		must(t, s.CloseWrite())
		must(t, s.Close())
		e.Renew()
		e.eventually("the session is gone", func() bool { return e.count() == counts{} })
		got, err := io.ReadAll(server)
		if err != nil || len(got) != len(data) {
			t.Fatalf("%d of %d bytes came, %v", len(got), len(data), err)
		}
		server.finish(t)
		e.close()
	}
}

// The same the other way: what the ingress sent is there to be read when its session ends.
func TestAnAnswerIsReadAfterItsSessionEnded(t *testing.T) {
	data := pattern(200_000)
	i := newIngress(t, handing)
	e := newEgress(t, Options{Lanes: -1, Sessions: 1}, Dependencies{}, i)
	s := e.dial()
	server := i.next(t)
	must(t, s.CloseWrite())
	end(t, server)
	_, err := server.Write(data)
	must(t, err)
	must(t, server.CloseWrite())
	read(t, s, string(data[:10]))
	server.finish(t)
	e.Renew()
	if c := e.count(); c.streams != 1 {
		t.Fatalf("counted is %+v", c)
	}
	got, err := io.ReadAll(s)
	if err != nil || len(got) != len(data)-10 {
		t.Fatalf("%d of %d bytes came, %v", len(got), len(data)-10, err)
	}
	must(t, s.Close())
	e.eventually("the session is gone", func() bool { return e.count() == counts{} })
}
