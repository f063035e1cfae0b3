package tunnel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// relay is a host between both ends, which ends the connection when it wants. It can tell TLS records apart.
type relay struct {
	*testing.T
	listener net.Listener
	to       string
	parts    sync.WaitGroup

	// cutAfter is after how many records from the server, or from the client, it cuts.
	fromServer bool
	cutAfter   int
	reset      bool
	// seen is how many came in that direction.
	seen atomic.Int64
}

func newRelay(t *testing.T, to string, edit func(*relay)) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r := &relay{T: t, listener: listener, to: to, cutAfter: -1}
	edit(r)
	r.parts.Go(r.accept)
	t.Cleanup(func() {
		listener.Close()
		r.parts.Wait()
	})
	return r
}

func (r *relay) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, r.listener.Addr().String())
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", r.to)
		if err != nil {
			r.Error(err)
			client.Close()
			return
		}
		var both sync.WaitGroup
		both.Go(func() { r.carry(server.(*net.TCPConn), client.(*net.TCPConn), r.fromServer) })
		both.Go(func() { r.carry(client.(*net.TCPConn), server.(*net.TCPConn), !r.fromServer) })
		r.parts.Go(func() {
			both.Wait()
			client.Close()
			server.Close()
		})
	}
}

// carry takes records one way. A cut looks like an end, or is a reset, for whoever receives them; the other
// direction works until it is used.
func (r *relay) carry(from, to *net.TCPConn, count bool) {
	defer func() { _, _ = from.CloseRead(), to.CloseWrite() }() // accept closes both in the end
	for n := 0; !count || n != r.cutAfter; n++ {
		var head [5]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return
		}
		if _, err := to.Write(head[:]); err != nil {
			return
		}
		if _, err := io.CopyN(to, from, int64(binary.BigEndian.Uint16(head[3:]))); err != nil {
			return
		}
		if count {
			r.seen.Add(1)
		}
	}
	if r.reset {
		_ = to.SetLinger(0)
		_ = to.Close()
	}
}

// RFC 8446 section 6.1: without a close_notify, or the end of a chunk or of a mux stream, what came may not be all. crypto/tls
// says otherwise when the connection ends between two records, so it is cut behind each.
func TestAConnectionCutBehindAnyRecordIsNoEnd(t *testing.T) {
	data := pattern(MaxChunk + 5000)
	for _, fromServer := range []bool{true, false} {
		for _, w := range ways {
			for _, reset := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, from the server %v, by a reset %v", w.via, fromServer, reset), func(t *testing.T) {
					for cut := 0; ; cut++ {
						if all := carryCut(t, w, data, fromServer, cut, reset); all {
							if cut < 8 {
								t.Errorf("only %d records were cut off", cut)
							}
							return
						}
					}
				})
			}
		}
	}
}

// carryCut sends data in one direction and cuts it behind some records. It says whether all of them came.
func carryCut(t *testing.T, w way, data []byte, fromServer bool, cut int, reset bool) (all bool) {
	t.Helper()
	got := make(chan []byte, 1)
	receive := func(s Stream) {
		bytes, err := io.ReadAll(s)
		if err == nil {
			_ = s.CloseWrite() // fails when the other direction is cut
			got <- bytes
		} else {
			got <- nil
		}
		_ = s.Close()
	}
	send := func(s Stream) {
		_, err1 := s.Write(data)
		err2 := s.CloseWrite()
		_, err3 := io.Copy(io.Discard, s)
		if err := errors.Join(err1, err2, err3); err != nil {
			s.Abort()
		}
		_ = s.Close()
	}
	client, server := send, receive
	if fromServer {
		client, server = receive, send
	}
	i := newIngress(t, speaking(w.alpn...), handling(func(in Incoming) { server(in) }))
	r := newRelay(t, i.address().String(), func(r *relay) { r.fromServer, r.cutAfter, r.reset = fromServer, cut, reset })
	e := newEgress(t, w.options, Dependencies{Dial: r.dial}, i)
	defer e.close()
	s, err := e.Open(t.Context(), e.gateway, target)
	if err != nil {
		return false // cut in the handshake
	}
	client(s)
	i.stop() // and with it whoever still waits there
	select {
	case bytes := <-got:
		if bytes != nil && len(bytes) != len(data) {
			t.Errorf("cut behind %d records, %d of %d bytes look complete", cut, len(bytes), len(data))
		}
		if bytes == nil {
			return false
		}
	default:
		return false // the stream did not even begin at the other end
	}
	return r.seen.Load() < int64(cut)
}
