// Package translate serves the streams of a Linkerd proxy that carry HTTP/2 (session protocol
// http2): it takes the requests of one client connection to the application, in the protocol that
// the application's own client spoke.
//
// A Linkerd proxy sends HTTP/1 requests over HTTP/2 and marks each with the header l5d-orig-proto.
// Such a request becomes HTTP/1.1 again; any other goes on as HTTP/2 with prior knowledge, which is
// what gRPC is. All of HTTP itself is Go's net/http: a server on one connection, a
// httputil.ReverseProxy, and two transports. What is here are the rules, and the places where the
// reverse proxy would change a request that must arrive as it was sent:
//
//   - the request target keeps its bytes: no query is cleaned, no escape is normalised;
//   - Trailer fields that were announced, X-Forwarded-*, Proxy-Authorization and Proxy-Authenticate pass;
//   - no User-Agent, Accept-Encoding, Content-Type or Content-Length is invented;
//   - an answer that is headers only (gRPC's "trailers-only") stays so.
//
// What Go's server does not hand over is lost: request trailers that no Trailer field announced, and
// the field Expect: 100-continue, which the server answers as soon as there is a connection that
// takes the body. It resets requests whose path has a broken escape (/%zz). The error code that an
// application resets a stream with is lost too, but for gRPC, which learns it as a status.
//
// The package must never decide who may call what, look up a Service or choose an address: it is
// given a function that connects to one application. It must never send a request of one client
// over a connection that was made for another, so each Serve has its own connections to the
// application and closes them all before it returns. It writes no HTTP/2 frame itself.
//
// # Goroutines and locks
//
// Serve runs in the goroutine of the caller and returns when the client's connection is closed,
// every request on it has ended and nothing is being dialled; only goroutines of net/http that are
// just ending may be left. session.mu guards whether requests are still taken, application.mu the
// set of open connections, client.mu what is known of the client; none is held while talking to a
// network, and none while another is held.
package translate
