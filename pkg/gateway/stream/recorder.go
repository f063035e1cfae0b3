package stream

import (
	"context"
	"io"
	"time"

	"github.com/go-logr/logr"
)

// How many lines a second the log has at most, of each kind. Denials are what security teams look for,
// so they have more room, and a room of their own.
const (
	denialsPerSecond  = 10
	failuresPerSecond = 1
)

// Recorder tells what became of streams. NewRecorder makes one.
type Recorder struct {
	opts    LogOptions
	metrics *Metrics
	log     logr.Logger
	journal *journal

	denied, dryRun, refused, failed limiter
	// lost is for an access log that cannot be written.
	lost limiter
}

// NewRecorder makes a Recorder that writes the access log to w once Start runs. opts must be valid; their
// zero value writes nothing. Without LogTo nothing is told in the log.
func NewRecorder(opts LogOptions, w io.Writer, m *Metrics) *Recorder {
	opts.Default()
	r := &Recorder{
		opts: opts, metrics: m, log: logr.Discard(),
		denied:  limiter{most: denialsPerSecond},
		dryRun:  limiter{most: denialsPerSecond},
		refused: limiter{most: failuresPerSecond},
		failed:  limiter{most: failuresPerSecond},
		lost:    limiter{most: failuresPerSecond},
	}
	r.journal = newJournal(w, r.dropped)
	return r
}

// LogTo sets where denials and failures are told, and gives r. It is for before the first use.
func (r *Recorder) LogTo(log logr.Logger) *Recorder {
	r.log = log
	return r
}

// Start writes the access log until ctx ends, and then what is left of it. Streams that are told of
// later are counted, but may miss their line: so end ctx after the last of them.
func (r *Recorder) Start(ctx context.Context) error {
	r.journal.run(ctx, r.tellLeftovers)
	r.tellLeftovers()
	return nil
}

// Flush writes the lines that were gathered so far.
func (r *Recorder) Flush() { r.journal.flush() }

// Opened counts a stream that begins. Each needs one call of Closed.
func (r *Recorder) Opened(side Side, via string) { r.metrics.opened(side, via) }

// Closed tells of a stream that ended, also of one that never got far. It does not wait for any writer.
func (r *Recorder) Closed(rec Record) {
	r.metrics.closed(&rec)
	r.tell(&rec)
	if r.opts.wants(&rec) {
		r.writeLine(rec)
	}
}

// writeLine has a copy of its own, so that a record that gets no line stays off the heap.
func (r *Recorder) writeLine(rec Record) {
	r.journal.add(func(b []byte) []byte { return r.opts.appendLine(b, &rec) })
}

// Bytes counts bytes of a stream that is still open. Its Record must say so: see the package's comment.
func (r *Recorder) Bytes(side Side, direction Direction, n int64) {
	s := r.metrics.of(side)
	if direction == Sent {
		add(s.sent, n)
	} else {
		add(s.received, n)
	}
}

// WouldDeny tells of a stream that an allow-list does not have, and that passes because the list is only
// being tried (POL-14). Of the record it needs who asks for what, and why that would be denied.
func (r *Recorder) WouldDeny(rec Record) {
	r.metrics.of(rec.Side).dryRun.Inc()
	r.tellOne(&r.dryRun, "Stream would be denied if the allow-list were in force", &rec)
}

// ConnectionOpened counts a TLS connection between clusters, before its handshake. Each needs one call of
// ConnectionClosed.
func (r *Recorder) ConnectionOpened(side Side) {
	r.metrics.openConns.WithLabelValues(sideName(side)).Inc()
}

// ConnectionClosed counts the end of a connection, by what it was good for.
func (r *Recorder) ConnectionClosed(side Side, result ConnectionResult) {
	r.metrics.openConns.WithLabelValues(sideName(side)).Dec()
	r.metrics.countConnection(side, result)
}

// ConnectionTurnedAway counts a connection for which there was no room, and which was never opened.
func (r *Recorder) ConnectionTurnedAway(side Side) {
	r.metrics.countConnection(side, ConnectionRefused)
}

// HandshakeFailed counts a TLS handshake that failed, by one of Reasons, such as certs.FailureReason gives.
func (r *Recorder) HandshakeFailed(side Side, reason string) {
	r.metrics.countReason(r.metrics.handshakes, side, reason)
}

// DialFailed counts a connection that could not be made, by one of Reasons, such as DialReason gives.
// A stream may fail to connect several times and still be done.
func (r *Recorder) DialFailed(side Side, reason string) {
	r.metrics.countReason(r.metrics.dials, side, reason)
}

// tell puts into the log what a client did not get.
func (r *Recorder) tell(rec *Record) {
	switch rec.Result {
	case Denied:
		r.tellOne(&r.denied, "Stream was denied", rec)
	case Refused:
		r.tellOne(&r.refused, "Stream was refused", rec)
	case Failed:
		r.tellOne(&r.failed, "Stream failed", rec)
	case Done, Aborted: // the other side's own matter
	}
}

// tellOne writes one line with stable keys (LOG-5), unless there were enough already.
func (r *Recorder) tellOne(limit *limiter, message string, rec *Record) {
	suppressed, ok := limit.allow(time.Now())
	if !ok {
		return
	}
	values := make([]any, 0, 20)
	for _, f := range [...]struct {
		key, value string
		most       int
	}{
		{"side", string(rec.Side), maxText},
		{"client", rec.Client, maxText},
		{"peer", rec.Peer, maxText},
		{"cluster", rec.Cluster, maxText},
		{"target", rec.Target, maxText},
		{"protocol", rec.Protocol, maxText},
		{"reason", rec.Reason, maxText},
		{"error", errorText(rec.Err), maxError},
	} {
		if f.value != "" {
			values = append(values, f.key, clean(f.value, f.most))
		}
	}
	if suppressed > 0 {
		values = append(values, "suppressed", suppressed)
	}
	r.log.Info(message, values...)
}

// tellLeftovers tells how many lines were left out, when no line of their kind has come since.
func (r *Recorder) tellLeftovers() {
	now := time.Now()
	for _, of := range [...]struct {
		limit *limiter
		kind  string
	}{{&r.denied, "denied"}, {&r.dryRun, "dry run"}, {&r.refused, "refused"}, {&r.failed, "failed"}} {
		if n := of.limit.leftover(now); n > 0 {
			r.log.Info("More streams were left out of the log", "kind", of.kind, "suppressed", n)
		}
	}
}

// dropped is told by the journal of lines that were lost.
func (r *Recorder) dropped(lines int, err error) {
	r.metrics.droppedLines.Add(float64(lines))
	if _, ok := r.lost.allow(time.Now()); !ok {
		return
	}
	if err != nil {
		r.log.Error(err, "Writing the access log failed, lines are lost")
		return
	}
	r.log.Info("The access log's writer stalls, lines are lost")
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
