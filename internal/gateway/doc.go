// Package gateway is the process of the gateway: its commands, their options, and the life of what they
// run. `gateway ingress` lets streams of other clusters in, `gateway egress` takes streams to them, and
// `gateway idle` is the container beside a Linkerd proxy that is the gateway instead.
//
// It owns what is wired to what, the admin server, and the order in which things start and end. It must
// never decide anything about a stream, read what is not named by a flag, or write to an API server; and
// it must not import what the mirror controller is made of, so that the process which faces other
// clusters has neither its code nor its permissions (SEC-7).
//
// # Readiness
//
// /live answers while the process runs. /ready answers when certificates are usable, what must be read
// from the API server has been read, and listeners are open; else it says what is missing. The
// controllers of other clusters ask for it, so an ingress that is not ready takes its mirrors' endpoints
// out there too.
//
// # Ending
//
// When it is told to end, the process
//
//  1. is no longer ready, and goes on accepting for --drain-delay, because load balancers, kube-proxy and
//     other clusters go on sending for a while;
//  2. closes its listeners, asks for no more streams, and waits for those that are open, at most
//     --drain-timeout;
//  3. cuts what is left, writes the rest of the access log, and ends. The admin server ends last, so that
//     metrics and liveness answer throughout.
//
// A second signal ends it at once.
//
// # Goroutines
//
// process.run starts all goroutines and waits for them, for those of the server at most stopTimeout.
package gateway
