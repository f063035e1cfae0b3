package stream

import "time"

// Side is the half of the gateway that a stream passes.
type Side string

// The sides. Ingress lets streams of other clusters in, Egress takes streams to other clusters.
const (
	Ingress Side = "ingress"
	Egress  Side = "egress"
)

// Result is what became of a stream.
type Result string

// Results of a stream.
const (
	// Done: both ways ended cleanly.
	Done Result = "done"
	// Aborted: cut in the middle, by a reset, at the end of a drain, or because the Service is gone.
	Aborted Result = "aborted"
	// Denied: the client may not reach the Service.
	Denied Result = "denied"
	// Refused: there is no way to the target, or no room for another stream.
	Refused Result = "refused"
	// Failed: connecting, the handshake or the header failed.
	Failed Result = "failed"
)

// Protocols of a stream, as the transport header names them.
const (
	Opaque = "opaque"
	HTTP1  = "http1"
	HTTP2  = "http2"
)

// What carries a stream: one side of a gateway sees it arrive or leave by one of these.
const (
	// ViaTLS is a TLS connection of its own.
	ViaTLS = "tls"
	// ViaLane is a TLS connection that carries one stream after the other.
	ViaLane = "lane"
	// ViaMux is a TLS connection that carries several streams at once.
	ViaMux = "mux"
	// ViaTCP is a plain TCP connection: what an egress accepts.
	ViaTCP = "tcp"
)

// Direction is seen from the gateway.
type Direction string

const (
	// Sent is towards the application (ingress) or the gateway of the target (egress).
	Sent Direction = "sent"
	// Received is from there.
	Received Direction = "received"
)

// Record is what there is to tell of one stream at its end. Fields without a value may be left empty.
type Record struct {
	Side Side
	// Start is when the stream was accepted.
	Start time.Time
	// Client is its verified identity on the ingress, its address on the egress.
	Client string
	// Peer is the address of the other end of the connection between the clusters.
	Peer string
	// Cluster is the target's cluster, on the egress.
	Cluster string
	// Target is namespace/name:port as the gateway itself knows it. What is known from the other side's
	// bytes alone must be quoted and short.
	Target string
	// Protocol is Opaque, HTTP1 or HTTP2.
	Protocol string
	// Via is one of ViaTLS, ViaLane, ViaMux and ViaTCP.
	Via string
	// OpenedVia is what Recorder.Opened was given, if that was not Via: an egress learns only later
	// what carries a stream.
	OpenedVia string

	Result Result
	// Reason is one of Reasons; empty when all went well.
	Reason string
	// Err is for people. Its text is cut when it is long.
	Err error

	// Sent and Received are the stream's bytes, without TLS and headers of ours.
	Sent, Received int64
	// SentCounted and ReceivedCounted are how many of them Recorder.Bytes was given already.
	SentCounted, ReceivedCounted int64

	// Connect is how long it took to reach the application or the gateway; zero when it was not reached.
	Connect time.Duration
	// FirstByte is the time from Start to the first byte received; zero when there was none.
	FirstByte time.Duration
	// Duration is the time from Start to the end.
	Duration time.Duration
}

// failed says whether a client did not get what it asked for.
func (r *Record) failed() bool { return r.Result != Done && r.Result != Aborted }
