// Package egress takes the clients of mirrors to the gateways of other clusters, for those who have no
// Linkerd proxy that would.
//
// The service mirror gives each TCP port of a mirror that leads here an egress port, writes it on the
// mirror (annotation linkspan.io/egress-ports), and points the mirror's endpoints at the pods of the
// egress with that port. So a connection's port says which Service it is for, whatever its bytes are.
//
// The parts, in the order in which things pass them:
//
//   - follower lists and watches the mirrors, their EndpointSlices, and the Links of one namespace, in its
//     own cluster. It reads no Secrets and talks to no other cluster, and writes nothing.
//   - Table says what follows: a Route for each egress port. It is pure.
//   - ports listens on these, and for a moment on what they were before.
//   - Server accepts, has a stream opened by an Opener (package tunnel), and joins the two (package pipe).
//
// It must never read an address or a name from a client, resolve a name, speak to anything but an
// address that a Link's status lists as not dead and that proves the Link's gateway identity, or let a mirror
// lead anywhere but to the Service that its own name stands for.
//
// # What a mirror counts for
//
// Anybody who may write Services in a namespace can make one that looks like a mirror. It is held
// against what the service mirror would have made: the name and namespace that the mirror of the remote
// Service has, in a cluster that a Link names. What it can then reach is what the real mirror reaches:
// the gateway decides what is exported.
//
// # Whose a port is
//
// Only the service mirror writes the EndpointSlices of mirrors. A port that such a slice leads to is that
// mirror's, whoever else claims it, since when, and with whatever age: that is where clients come from, and
// a claim made by hand takes nothing away. The service mirror announces a port on the mirror before slices
// lead to it, so a port that one mirror claims, and no slice leads to, is listened on too. Where several
// claim such a port it is nobody's until slices tell which of them is right; and each namespace has so many
// of these ports and no more.
//
// A mirror that turns to another mode keeps its egress ports for as long as there are endpoints that
// lead to them, and is served for as long as it has them, whatever its labels say of the mode, and ten seconds longer:
// kube-proxies lead clients here until the last of them has heard of the change (MIR-12).
//
// # Failing fast
//
// Where all gateway addresses are dead, or there is no Link, or no room, the connection is reset as soon as
// it is accepted: the client must not wait for what cannot come. A reset cannot be taken for an answer.
//
// Addresses without a verdict are dialed where none is alive. Mirrors keep their ready endpoints while there
// is no verdict, as after a restart of the service mirror, and clients come; dialing tells soon enough.
//
// # What happens to open streams
//
// They go on when the mirror leads elsewhere, when its egress port changes, when the gateway is judged dead
// or the Link is changed or deleted. They are cut when their mirror is deleted, is another object of the
// same name, or no longer has their port: a Service that is gone must not be in use, which is what the
// ingress does when a Service is no longer exported.
//
// # While the API server is away
//
// What was last seen stays in force. First lists are read consistently, not from a cache that may lie
// behind, so that a restart does not bring ended mirrors back.
//
// # Locking
//
// Table.mu guards what is known; it is held for map work and computing Routes, never while calling
// onChange. The methods that feed a Table may be called from several goroutines, but calls about one kind
// of object from one at a time, in the order in which things happened. The goroutine of Server.Run alone
// touches ports. streams.mu guards the open streams, and open.mu one of them; neither is taken under the
// other, nor held while calling anything. Every goroutine ends before Run returns.
//
// A stream is known to streams before its mirror is looked up in the Table once more, and a mirror is gone
// from the Table before the streams are searched for its own: so none is missed.
package egress
