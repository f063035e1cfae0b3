package translate

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// flagAck is of SETTINGS and PING.
const flagAck = 0x1

// closeWindows says that nothing of an answer's body may come until there is word of it.
func (c *rawClient) closeWindows() {
	const settingWindow = 0x4
	c.send(frameSettings, 0, 0, []byte{0, settingWindow, 0, 0, 0, 0})
}

// attend answers pings until there is a frame of one of the kinds for the stream.
func (c *rawClient) attend(stream uint32, kinds ...byte) frame {
	c.t.Helper()
	for {
		f := c.until(append(kinds, framePing)...)
		switch {
		case f.kind == framePing && f.flags&flagAck == 0:
			c.send(framePing, flagAck, 0, f.payload)
		case f.stream == stream && slices.Contains(kinds, f.kind):
			return f
		}
	}
}

// GW-12: a client that answers pings and takes nothing of an answer holds it for AnswerTimeout. Its other requests go on.
func TestAnAnswerThatItsClientDoesNotTakeEnds(t *testing.T) {
	var running atomic.Int32
	addr := http2App(t, func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Add(-1)
		if r.URL.Path == "/large" {
			_, _ = io.Copy(w, io.LimitReader(zeros{}, 1<<20))
		}
		_, _ = io.WriteString(w, "small")
	})
	for name, more := range map[string][]string{
		"a large one":            {"/large"},
		"a small one":            {"/small"},
		"one of the gateway's":   {"/small", "l5d-orig-proto", "HTTP/3"},
		"one that cannot be had": {"/small", "l5d-orig-proto", "HTTP/1.1"}, // of an application that speaks HTTP/2
	} {
		t.Run(name, func(t *testing.T) {
			g := gatewayTo(t, addr, func(o *Options) { o.Limits.AnswerTimeout = stall })
			c := g.raw(t)
			c.closeWindows()
			c.send(frameHeaders, flagEndStream|flagEndHeaders, 1, head(more[0], more[1:]...))
			c.attend(1, frameReset)
			c.send(frameHeaders, flagEndStream|flagEndHeaders, 3, head("/small"))
			if f := c.attend(3, frameHeaders, frameReset); f.status() != "200" {
				t.Errorf("got %+v", f)
			}
			c.Close()
			if got := g.ended(t); got.err != nil || got.result.Requests != 2 {
				t.Errorf("got %+v", got)
			}
			eventually(t, "the application to be done", func() bool { return running.Load() == 0 })
		})
	}
}

// One request needs no room beside that of its connection; each other that runs at the same time does.
func TestRequestsBesideAnotherTakeRoom(t *testing.T) {
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	addr := http1App(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		_, _ = io.WriteString(w, "done")
	})
	var taken atomic.Int32
	g := gatewayTo(t, addr, func(o *Options) {
		o.Room = func() (func(), bool) {
			if taken.Add(1) > 1 {
				taken.Add(-1)
				return nil, false
			}
			return func() { taken.Add(-1) }, true
		}
	})
	c := g.raw(t)
	ask := func(stream uint32, more ...string) {
		c.send(frameHeaders, flagEndStream|flagEndHeaders, stream, head("/", append(more, "l5d-orig-proto", "HTTP/1.1")...))
	}
	for i, stream := range []uint32{1, 3} {
		ask(stream)
		within(t, arrived, "the request")
		if got := taken.Load(); got != int32(i) {
			t.Errorf("%d places are taken with %d requests", got, i+1)
		}
	}
	c.closeWindows() // a refusal needs none
	ask(5)
	if f := c.attend(5, frameHeaders, frameReset); f.kind != frameHeaders || f.flags&flagEndStream == 0 && c.attend(5, frameData).flags&flagEndStream == 0 {
		t.Errorf("the answer does not end: %+v", f)
	}
	client := g.client(t) // a connection of its own, whose first request needs no room
	close(release)
	c.Close()
	if answer := do(t, client, upgraded(t, "GET", "/", nil)); answer.body != "done" {
		t.Errorf("got %+v", answer)
	}
	eventually(t, "the places to be given back", func() bool { return taken.Load() == 0 })
}

func TestARequestWithoutRoomIsToldToTryElsewhere(t *testing.T) {
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	addr := http1App(t, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	})
	g := gatewayTo(t, addr, func(o *Options) { o.Room = func() (func(), bool) { return nil, false } })
	client := g.client(t)
	first := make(chan reply, 1)
	go func() { first <- do(t, client, upgraded(t, "GET", "/", nil)) }()
	within(t, arrived, "the first request")
	answer := do(t, client, upgraded(t, "POST", "/", strings.NewReader("body")))
	if answer.status != http.StatusServiceUnavailable || !strings.Contains(answer.header.Get(headerProxyError), "no room") || answer.body != "" {
		t.Errorf("got %+v", answer)
	}
	answer = do(t, client, newRequest(t, "POST", "/", strings.NewReader("body"), "Content-Type", "application/grpc"))
	if status := answer.header.Get("Grpc-Status"); status != "14" {
		t.Errorf("gRPC status %s: %+v", status, answer)
	}
	close(release)
	if answer := within(t, first, "the first answer"); answer.status != 200 {
		t.Errorf("got %+v", answer)
	}
	if len(arrived) != 0 {
		t.Error("a request that was refused reached the application")
	}
	if got := g.endedBy(t, client); got.result.Requests != 3 || got.result.Refused != 2 {
		t.Errorf("got %+v", got)
	}
}
