package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"

	"github.com/linkspan/linkspan/pkg/gateway/certs"
	"github.com/linkspan/linkspan/pkg/gateway/pipe"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

const (
	// openAddresses is how many addresses that do not answer a client waits for.
	openAddresses = 3
	// countedBytes is how many bytes of a stream that lasts are not in the counters yet, at most, each way.
	countedBytes = 256 << 10
)

// accept takes a client's connection. What cannot be served is turned away here, so that it costs no
// goroutine: by a reset, which the client notices at once and cannot take for an answer (MIR-11).
func (s *Server) accept(ctx context.Context, conn *net.TCPConn, route *Route) {
	from := addressOf(conn)
	rec := stream.Record{
		Side: stream.Egress, Start: s.now(), Client: from.String(),
		Cluster: route.Cluster, Target: route.Target.String(),
		Protocol: stream.Opaque, Via: stream.ViaTCP, OpenedVia: stream.ViaTCP,
	}
	s.recorder.Opened(stream.Egress, stream.ViaTCP)
	client := pipe.TCP(conn)
	if reason := route.Gateway.Refused; reason != "" {
		s.turnAway(client, rec, reason)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	o, full := s.streams.begin(route.Target, from.Addr(), cancel)
	if o == nil {
		cancel()
		s.turnAway(client, rec, full)
		return
	}
	s.streams.running.Go(func() {
		defer s.streams.end(o)
		defer cancel()
		// From here on a mirror that goes takes this stream along; before, it may have gone unnoticed.
		if !s.table.Serves(route.Target) {
			s.turnAway(client, rec, ReasonWithdrawn)
			return
		}
		s.carry(ctx, o, client, route, rec)
	})
}

func (s *Server) turnAway(client pipe.Stream, rec stream.Record, reason Reason) {
	client.Abort()
	rec.Result, rec.Reason = stream.Refused, string(reason)
	s.close(rec)
}

// carry takes a stream to the gateway, and to its end.
func (s *Server) carry(ctx context.Context, o *open, client pipe.Stream, route *Route, rec stream.Record) {
	server, err := s.dial(ctx, route)
	if err != nil {
		client.Abort()
		rec.Result, rec.Reason = unopened(ctx, o.cutFor(), err)
		rec.Err = err
		s.close(rec)
		return
	}
	rec.Via, rec.Peer = server.Via(), server.RemoteAddr().String()
	rec.Connect = s.now().Sub(rec.Start)
	if !o.attach(client, server) {
		client.Abort()
		server.Abort()
	}
	var moved tally
	moved.recorder = s.recorder
	result := s.pipes.Join(client, server, pipe.Options{Now: s.now, Moved: moved.add})
	rec.Sent, rec.SentCounted = result.ToServer, moved.sent.counted
	rec.Received, rec.ReceivedCounted = result.ToClient, moved.received.counted
	if result.FirstByte > 0 {
		rec.FirstByte = rec.Connect + result.FirstByte
	}
	rec.Result, rec.Reason = outcome(o.cutFor(), result)
	rec.Err = result.Err
	s.close(rec)
}

// dial opens a stream to the gateway.
func (s *Server) dial(ctx context.Context, route *Route) (tunnel.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, openAddresses*s.opts.ConnectTimeout)
	defer cancel()
	return s.opener.Open(ctx, tunnel.Gateway{Addresses: route.Gateway.Addresses, Identity: route.Gateway.Identity}, route.Header)
}

func (s *Server) close(rec stream.Record) {
	rec.Duration = s.now().Sub(rec.Start)
	s.recorder.Closed(rec)
}

// unopened says what became of a stream that never reached the gateway. ctx ends with the process, or
// when the stream is cut.
func unopened(ctx context.Context, cut Reason, err error) (stream.Result, string) {
	dial, dialed := errors.AsType[*tunnel.DialError](err)
	switch {
	case cut != "":
		return stream.Aborted, string(cut)
	case ctx.Err() != nil, errors.Is(err, tunnel.ErrClosed):
		return stream.Aborted, string(ReasonStopped)
	case dialed && dial.Step == tunnel.StepTLS:
		return stream.Failed, certs.FailureReason(err)
	default:
		return stream.Failed, stream.DialReason(err)
	}
}

// outcome says what became of a stream that reached the gateway.
func outcome(cut Reason, r pipe.Result) (stream.Result, string) {
	if r.Err == nil {
		return stream.Done, ""
	}
	if cut != "" {
		return stream.Aborted, string(cut)
	}
	if refused, ok := errors.AsType[*tunnel.RefusedError](r.Err); ok {
		return refusal(refused.Code)
	}
	reason := stream.DialReason(r.Err)
	if reason == stream.ReasonOther && r.At == pipe.Server && r.ToClient == 0 {
		// A gateway that refuses our certificate says so after a handshake that looked well (RFC 8446 section 4.4.2.4).
		if of := certs.FailureReason(r.Err); of != certs.ReasonOther {
			return stream.Failed, of
		}
	}
	return stream.Aborted, reason
}

// refusal puts the gateway's words into those of package stream.
func refusal(code tunnel.Code) (stream.Result, string) {
	switch code {
	case tunnel.CodeDenied:
		return stream.Denied, stream.ReasonClientNotAllowed
	case tunnel.CodeWithdrawn:
		return stream.Aborted, stream.ReasonWithdrawn
	case tunnel.CodeBadHeader:
		return stream.Failed, string(wire.ReasonMalformed)
	case tunnel.CodeUnreachable:
		return stream.Failed, stream.ReasonUnreachable
	default:
		return stream.Refused, code.String()
	}
}

// tally counts the bytes of a stream while it lasts. Each direction has a goroutine of its own.
type tally struct {
	recorder       Recorder
	sent, received way
}

type way struct{ counted, waiting int64 }

func (t *tally) add(to pipe.Side, n int) {
	w, direction := &t.received, stream.Received
	if to == pipe.Server {
		w, direction = &t.sent, stream.Sent
	}
	w.waiting += int64(n)
	if w.waiting >= countedBytes {
		t.recorder.Bytes(stream.Egress, direction, w.waiting)
		w.counted, w.waiting = w.counted+w.waiting, 0
	}
}

// String is namespace/name:port.
func (t Target) String() string {
	return t.Mirror.String() + ":" + strconv.Itoa(int(t.Port))
}

// addressOf is a client's address. On a socket of both families that of an IPv4 client comes as IPv6.
func addressOf(conn *net.TCPConn) netip.AddrPort {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{} // it is closed already
	}
	from := tcp.AddrPort()
	return netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}
