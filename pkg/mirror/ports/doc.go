// Package ports gives each TCP port of a mirror that leads to our egress a port there of its own.
//
// It owns which egress port is whose, and nothing else: the ports are written by pkg/mirror, as the annotation
// linkspan.io/egress-ports of mirrors, by which the egress goes, and of their slices, and that is what lasts.
// It must never talk to the network or read a cache. A new process is told of the slices of every mirror
// before it gives anything (see Allocator.See), so ports are the same after a restart.
//
// # Whose a port is
//
// A mirror claims the ports that its slices lead to and those that it was given since. What the mirror itself
// says does not count: whoever may write Services in some namespace could write that, on a Service of any
// age, and would take the ports of others or use them up. Nobody but the controller writes its slices (SEC-4).
//
// Where several claim one port all the same, because two leaders overlapped, whoever had it first since this
// process began to give ports keeps it. Of those that were there before, it is the one with the oldest
// slices, then by namespace, name and service port, so every replica comes to the same result. A port that
// anybody claims is given to nobody else, and those that gateway pods listen on themselves to nobody at all.
//
// # What becomes of a port that is given back
//
// It is kept for a while for the mirror that had it. Kube-proxies and egress pods trail the API server,
// and a client of the old mirror must not reach the service behind another. The search for a free port
// begins at a digest of the mirror's name and port, so that a mirror which is made again later still
// finds the port it had, most likely.
//
// # Locking
//
// Everything is behind one mutex, and nothing is called while it is held.
package ports
