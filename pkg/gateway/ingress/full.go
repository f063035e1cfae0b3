package ingress

import (
	"errors"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// refused tells of a connection for which there was no room: it would have carried a stream, at least.
func (c *connection) refused(v verdict) {
	via := stream.ViaTLS
	switch c.state.NegotiatedProtocol {
	case tunnel.ALPNLane:
		via = stream.ViaLane
	case wire.ALPNMux:
		via = stream.ViaMux
	}
	rec := c.record(via)
	rec.Result, rec.Reason, rec.Err = stream.Refused, stream.ReasonFull, errors.New("as many connections as there may be are open")
	switch v {
	case clientFull:
		rec.Reason, rec.Err = stream.ReasonClientFull, errors.New("as many connections as this client may have are open")
	case strangersFull:
		rec.Result, rec.Reason = stream.Denied, stream.ReasonClientNotAllowed
		rec.Err = errors.New("the client is not on the gateway's allow-list, and as many connections of such clients as there may be are open")
	case admitted, full:
	}
	c.server.deps.Recorder.Opened(stream.Ingress, via)
	c.server.deps.Recorder.Closed(rec)
}

// room gives package translate a way to places for the requests of a stream: the first has that of the stream, and
// each that runs beside it takes one as a stream does. One that gets none is told of as a stream that is refused. rec
// is the stream's record.
func (c *connection) room(rec stream.Record) func() (leave func(), ok bool) {
	s := c.server
	return func() (func(), bool) {
		v := s.streamLimits.take(c.client)
		if v == admitted {
			return func() { s.streamLimits.leave(c.client) }, true
		}
		one := rec
		one.Start = time.Now()
		one.Result, one.Reason, one.Err = stream.Refused, stream.ReasonFull, errors.New("as many streams and requests as there may be are open")
		if v == clientFull {
			one.Reason, one.Err = stream.ReasonClientFull, errors.New("as many streams and requests as this client may have are open")
		}
		s.deps.Recorder.Opened(stream.Ingress, one.Via)
		s.deps.Recorder.Closed(one)
		return nil, false
	}
}
