// Package ingress lets streams from other clusters in, to exported Services and to nothing else.
//
// It owns the listener behind the LoadBalancer, admission, the decision about each stream and the
// connection to the application. Nothing from the wire ever becomes an address: a name is looked up among the
// Services that this cluster exports (package exports), and what that says is dialed. It must never hold
// credentials of other clusters, resolve DNS names, or serve a client without a verified identity.
//
// # What a stream passes
//
// A connection passes the limits, the TLS handshake, and the limits of its identity. Each stream on it then passes
// its header, the limits of streams, the allow-list of the gateway, the target's name, the export and the export's own
// allow-list, in this order: a client that the gateway as a whole does not admit learns nothing of what is
// exported, not even the cluster's domain. Only then is the application dialed.
//
// A client that the gateway's own list does not let in makes its handshake all the same, so that what it asks for can be
// told. Such strangers share a sixteenth of the connections, must ask within the time of a header, and
// are parted with after the first denial; so is a client that is taken off the list.
//
// # What ends a stream from outside
//
// A stream whose export is withdrawn, or whose client is no longer allowed, is aborted at once, also while its
// application is being dialed. So is a connection whose client leads to no trust anchor in force any more. An
// application without ready endpoints keeps the streams that it has.
//
// Each stream has a context, and each connection one above it. Ending a context aborts what it stands for,
// and its cause is what the access log gives as the reason. An abort may wait for a client that has stalled, so a
// goroutine of the stream's own does it: whoever reports a change never waits for a client.
//
// # What is counted
//
// A connection that sends nothing, or makes its handshake and no more, is neither an error nor a line of a log: health
// checks do that (LESSON-53). One that is refused for its client's limit counts as a refused stream as well,
// with its reason. One that is refused before its handshake counts as a failed handshake of reason "full".
//
// # Draining
//
// Drain closes the listener and asks clients for no more streams; HTTP/2 clients get a GOAWAY, and their
// requests Options.HTTP.DrainTimeout, which the process sets to its own. Whatever comes all the same is served until the context of Run ends, which
// aborts what is left.
//
// # Locking
//
// Server.mu guards the listener, the set of connections and the count of those open; openStreams.mu guards the
// streams; limits.mu, handshakes.mu and onceASecond.mu guard counts. None is held while talking to the network, and none while
// another is taken.
package ingress
