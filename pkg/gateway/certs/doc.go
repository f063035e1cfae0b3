// Package certs turns certificate files into the TLS configurations of both sides of a gateway, and
// follows the files as they are renewed, without a restart and without dropping connections (CERT-9).
//
// It owns how a gateway authenticates itself and its peers: TLS 1.3 only, certificates on both
// sides, chains that lead to an anchor in force, ALPN always, and the DNS SAN as the identity
// (GW-10). The package has four layers, and each is tested by itself:
//
//   - parse judges the contents of the files. It is pure: files and a time in, material or an error out.
//   - A generation is one set of accepted files in use, with its own ticket key and session caches.
//   - Store reads the files, keeps the generation in force and hands out configurations.
//   - PeerIdentity and FailureReason say who the peer is and why a handshake failed.
//
// It must never decide who may reach which Service (that is pkg/gateway/clients), open a connection,
// write a file, or let key material into a log, an error or a metric.
//
// # Files
//
// The certificate, the key and the anchors are accepted together or not at all, by their contents
// and not by their modification times, so that the kubelet's symlink swaps and plain copying both
// work. What is refused changes nothing: the set in force stays. While it is valid the gateway works;
// when it has expired Ready says so. Files that fit one another only from the next poll on, as
// happens when they are written one after the other, are waited for in silence.
//
// # Generations
//
// A new set of files starts a generation, and so do 12 hours. Session tickets and client sessions
// belong to one generation: what an earlier one handed out is worth nothing, so a connection is
// resumed only under the certificates and anchors under which it was verified. A resumed connection
// is checked again all the same, for dates, anchors, identity and ALPN.
//
// An anchor that was taken away counts no more for any handshake that ends from then on. Connections
// that are open already stay open; their owners ask StillTrusted about them when Changed says so. An
// owner that first puts a new connection on its list and then asks StillTrusted once misses none.
//
// # Locking
//
// Three locks, taken in this order and never while talking to the network: Store.loading is held
// while files are read and judged; Store.mu guards what the fields say it guards, and is never held
// while reading or logging; a generation's mu guards its client configurations. The generation
// in force is an atomic pointer: a server's handshake takes none of the locks. Start owns one
// goroutine, the caller's own. Every method may be called by any goroutine.
package certs
