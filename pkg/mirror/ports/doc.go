// Package ports gives each TCP port of a mirror that leads to our egress a port there of its own.
//
// It owns which egress port is whose, and nothing else: the ports are written on the mirrors by
// pkg/mirror, as the annotation linkspan.io/egress-ports, and that annotation is what lasts. It must
// never talk to the network or read a cache. A new process is told of every mirror that exists before it
// gives anything (see Allocator.See), so ports are the same after a restart.
//
// # Whose a port is
//
// A mirror claims the ports that its annotation names and those that it was given since. Where several
// claim one port, because somebody copied an annotation or two leaders overlapped, it belongs to the
// oldest mirror: by creation timestamp, then namespace, name and service port. So every replica, and
// every egress pod that reads the same mirrors, comes to the same result. A port that anybody claims is
// given to nobody else.
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
