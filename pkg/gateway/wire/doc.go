// Package wire knows the bytes with which a client announces a stream to a gateway: the ALPN names, the
// transport header that precedes the stream, and the names of targets inside it.
//
// The format is Linkerd's, since its proxies are clients and servers of our gateways. It owns:
//
//   - ALPN and ALPNMux, the protocols that a gateway's TLS offers.
//   - Header, its encoding (Header.Append) and its decoding (ReadHeader).
//   - ParseTarget, which takes a target's name apart without asking anybody.
//
// All input is hostile. ReadHeader takes exactly the header from its reader and never a byte of the
// stream behind it, allocates no more than MaxMessage bytes however long a message claims to be, and
// gives up at the first byte that cannot belong to a header. Deadlines are the caller's: a reader that
// stays silent keeps ReadHeader waiting.
//
// The package is pure. It must never open a connection, look up a name, read a clock or write a log,
// and it decides nothing about who may reach what. Everything here is safe for concurrent use.
package wire
