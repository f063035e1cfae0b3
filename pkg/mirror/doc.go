// Package mirror keeps the local mirrors of every linked cluster right: it observes one exported
// service, lets pkg/mirror/plan decide, and applies the plan.
//
// It owns the queue of keys, the local writes and what is reported of services: outcomes, events,
// metrics. It must never decide what a mirror looks like (plan does), talk to a target except to
// confirm that a service is gone, or write to anything that does not carry our labels.
//
// Everything is level-triggered. The queue carries keys and nothing else; each pass reads the
// target's cache, the local cache and the probes again. The queue never runs one key twice at a time,
// which is what orders the writes to one mirror. The local cache trails our own writes, so a pass
// that finds it older than what was written waits for it (see writes.go).
//
// Locking: each struct has one mutex over its own fields and calls nothing while it holds it.
//
// What is remembered of mirrors and namespaces beside the queue (locals, ports, meshes) follows the cache,
// and no key is worked on before all that was there at the start is remembered: see follow.go. Which egress
// port is whose is decided in pkg/mirror/ports, and which pods our egress has in pkg/mirror/egress.
//
// It is larger than the 1,500 lines that a package should have; the parts that could leave
// (brake, writes, turnstile) have no user but the Reconciler.
package mirror
