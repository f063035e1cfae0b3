package ingress

import (
	"cmp"
	"context"
	"errors"
	"net"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/exports"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/translate"
	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

func (c *connection) record(via string) stream.Record {
	return stream.Record{Side: stream.Ingress, Start: time.Now(), Client: c.client, Peer: c.peer, Via: via}
}

// badHeader tells of a stream whose header could not be read. When not even one byte has come, because the
// client has gone or was cut, there is no stream to tell of.
func (c *connection) badHeader(ctx context.Context, via string, err error) {
	bad, begun := errors.AsType[*wire.Error](err)
	late := isTimeout(err)
	if !begun && !late || cutReason(ctx) != "" {
		return
	}
	c.used.Store(true)
	rec := c.record(via)
	rec.Result, rec.Err = stream.Failed, err
	switch {
	case late:
		rec.Reason = stream.ReasonTimeout
	case bad.Reason == wire.ReasonRead:
		rec.Reason = stream.DialReason(err)
	default:
		rec.Reason = string(bad.Reason)
	}
	c.server.deps.Recorder.Opened(stream.Ingress, via)
	c.server.deps.Recorder.Closed(rec)
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// handle serves one stream to its end.
func (c *connection) handle(ctx context.Context, in tunnel.Incoming) {
	c.used.Store(true)
	rec := c.record(in.Via())
	rec.Protocol = in.Header.Protocol.String()
	c.server.deps.Recorder.Opened(stream.Ingress, in.Via())
	no := c.serve(ctx, in, &rec)
	if no != nil {
		rec.Result, rec.Reason, rec.Err = no.result, no.reason, no.err
	}
	rec.Duration = time.Since(rec.Start)
	c.server.deps.Recorder.Closed(rec)
	if no != nil {
		in.Refuse(no.code) // last, because a lane is read on for up to a second
	}
}

// serve lets the stream in and serves it, or says why not.
func (c *connection) serve(ctx context.Context, in tunnel.Incoming, rec *stream.Record) *refusal {
	s := c.server
	r := newRequest(c.client, in.Header, s.deps.ClusterDomain)
	rec.Target = r.String()
	switch s.streamLimits.take(c.client) {
	case full:
		return &refusal{stream.Refused, stream.ReasonFull, tunnel.CodeFull, errors.New("as many streams as there may be are open")}
	case clientFull:
		return &refusal{stream.Refused, stream.ReasonClientFull, tunnel.CodeFull, errors.New("as many streams as this client may have are open")}
	case admitted:
	}
	defer s.streamLimits.leave(c.client)
	// Registered before it is judged: a change that comes in between is then not missed.
	both := &ends{client: in.Stream}
	own, end := s.streams.begin(ctx, r, both.abort)
	defer end()
	d := s.judge.decide(r)
	if d.tried != "" {
		wouldDeny := *rec
		wouldDeny.Reason = d.tried
		s.deps.Recorder.WouldDeny(wouldDeny)
	}
	if d.no != nil {
		return d.no
	}
	err := c.carry(own, in, both, r, d.export, rec)
	// A connection that ends may abort its streams a moment before it ends their contexts: so both are asked.
	cut := cmp.Or(cutReason(own), cutReason(ctx))
	if err == nil && cut != "" && in.Header.Protocol == wire.HTTP2 {
		err = &cutError{cut} // for package translate a connection that is closed has ended well, whoever closed it
	}
	return conclude(rec, cut, err)
}

// carry takes a stream that was let in to the application, and to its end.
func (c *connection) carry(ctx context.Context, in tunnel.Incoming, both *ends, r request, export exports.Export, rec *stream.Record) error {
	if in.Header.Protocol == wire.HTTP2 {
		return c.translate(ctx, in, r, rec)
	}
	return c.forward(ctx, both, export, rec)
}

// conclude says what the end of a stream that was let in means. That it was cut from here is what counts, if it
// was: the errors that follow from that say nothing.
func conclude(rec *stream.Record, cut string, err error) *refusal {
	_, unreached := errors.AsType[*unreachedError](err)
	result, reason := stream.Aborted, cut
	switch {
	case err == nil:
		result, reason = stream.Done, ""
	case unreached && cut != "":
		return &refusal{stream.Aborted, cut, tunnel.CodeWithdrawn, err}
	case unreached:
		return &refusal{stream.Failed, stream.DialReason(err), tunnel.CodeUnreachable, err}
	case cut != "":
	case errors.Is(err, translate.ErrCut):
		reason = stream.ReasonDraining
	case errors.Is(err, translate.ErrStalled):
		reason = stream.ReasonTimeout
	case errors.Is(err, translate.ErrNotHTTP2):
		result, reason = stream.Failed, string(wire.ReasonProtocol)
	default:
		reason = stream.DialReason(err)
	}
	rec.Result, rec.Reason, rec.Err = result, reason, err
	return nil
}
