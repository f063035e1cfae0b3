// Package talk is the sample application's protocols other than plain requests: UDP, a server that speaks first, gRPC
// streams, and large transfers. Each has a server's half and a client's half that says what came of it.
//
// It owns what is sent, so that a client can tell whether what comes back is right. gRPC is spoken by hand: the one method
// that there is needs no more than HTTP/2, five bytes before each message and a trailer, and any gRPC client can call it.
// A client must never begin again by itself: one call is one connection, and what breaks is an error.
//
// Nothing is kept between calls; any goroutine may call anything.
package talk
