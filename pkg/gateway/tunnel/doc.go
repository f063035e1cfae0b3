// Package tunnel carries streams between an egress and an ingress, or Linkerd's gateway, over mutual TLS.
//
// It owns the TLS connections between gateways: dialing, choosing a way, reusing connections, ending
// them. It must never decide who may call what, resolve a name, or look into the bytes of a stream.
//
// # Three ways
//
// ALPN (RFC 7301) chooses what a connection is used for. Every stream begins with the same transport
// header (package wire), so identity and authorisation are those of each stream.
//
//   - transport.l5d.io/v1 is Linkerd's wire: one stream, then the connection ends. Our ingress serves it,
//     and the pool falls back to it where the gateway knows nothing else.
//   - lane.linkspan.io/v1 carries one stream after the other. A stream has a lane to itself, so nothing
//     of another stream can hold it up and TCP alone does its flow control, but the
//     next one needs no handshake. Lanes are what bulk transfers and short requests use.
//   - mux.linkspan.io/v1 carries many streams at a time, by yamux: once all lanes of a gateway are in use,
//     further streams share a few connections, so ten thousand idle streams do not cost as many handshakes,
//     sockets and TLS states. Streams that find none wait for the one that is being made.
//
// # Ends and cuts
//
// Whatever the way, a stream that was cut never looks complete. On Linkerd's wire a direction ends with a
// close_notify and with nothing else; the end of the TCP connection alone is a cut. Close of a stream whose both
// directions have not ended is an abort, as package pipe asks. An abort is a TCP reset, or a reset of the mux.
//
// A connection whose other end is gone is noticed within about twenty seconds: by TCP's keep-alive while it is idle, by
// yamux's on a mux, and by what the kernel knows of acknowledgements while something is on its way. A receiver
// that takes nothing, but answers, may take all the time it likes. Gone tells whoever is held up elsewhere, and so
// neither reads nor writes, of a stream that was reset or lost.
//
// # The lane protocol
//
// After the header, each direction is a sequence of chunks: a big-endian uint32 length, then that many
// bytes, at most MaxChunk (49 148). Length 0 ends the direction. After both have ended the egress may write
// the next header. The ingress may also write, between chunks or while the lane is idle,
//
//	0x80000000 | code    instead of a stream's first chunk: it is refused for a reason; the lane ends
//	0xC0000000           no more streams, please: the lane ends after the one that is open
//
// An ingress goes on accepting streams on a lane after the latter, because the egress may just have
// begun one; the egress is the one to close it. It may say so more than once. So neither a drain nor an idle timeout of
// the ingress loses a stream. A connection that ends between chunks, or in one, was cut: the receiver passes that on as
// an abort.
//
// # The mux
//
// Refusals are yamux resets with the same codes; code 0 is a plain abort. An ingress that opens a stream to its
// egress asks for no more streams. An egress that needs a session no longer, and has no stream on it, sends
// yamux's go-away with code 0. yamux delivers that behind all that went before, and the ingress then closes
// the connection. Neither end closes it otherwise: what yamux still had in its queue would be lost.
//
// One stream costs its receiver at most maxWindow bytes that were not read, in theory; one that sends them
// one by one can make yamux spend some forty times that on keeping them apart. Limits of streams bound the sum.
//
// # Locking
//
// A peer's lock guards its lists of lanes and sessions, and the counts of streams on sessions. It is never held
// while talking to the network. A lane is in exactly one place: the idle list, or a stream that will give it back
// once, when it is closed. A lane is counted from before it is dialed until it is dropped, refused or found to be of
// another kind. What is put on a list after the pool was renewed or closed is looked at again by who put it there.
//
// Read and Write of a stream are for one goroutine each; Abort and Close may be called by any, at any time. Abort waits
// for nobody, and does nothing after Close: the lane may have its next stream by then.
package tunnel
