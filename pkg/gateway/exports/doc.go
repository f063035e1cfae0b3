// Package exports is the ingress's view of the Services of its own cluster that are exported. What it
// does not name cannot be reached through the gateway (GW-2, LESSON-36).
//
// It owns the decision to which addresses a target and a port lead. The parts, in the order in which
// things pass them:
//
//   - Watch lists and watches, with label selectors that the API server evaluates: the exported
//     Services, and the EndpointSlices of those that are headless. It reads nothing else, no Secrets
//     and no Pods, and it writes nothing.
//   - Table keeps the little that is needed of each, as values that are never changed once made.
//   - Resolve reads the Table.
//
// It must never dial, look a name up, decide which client may come in (it hands on what an export
// says of that), or answer from anything but exported Services: a mirror is not one, whatever its
// labels, so that calls cannot go round in circles between clusters (LESSON-54).
//
// # What an export leads to
//
// A Service with cluster IPs leads to these, and kube-proxy, or what stands in for it, picks the
// endpoint. A headless Service leads to its ready endpoints, of which a target with a hostname means
// those of one pod. Their EndpointSlices are found by the labels that the EndpointSlice controller
// copies from the Service; whoever writes slices for a headless Service without a selector must put
// the Service's export label and service.kubernetes.io/headless on them.
//
// # Trust
//
// Who may write Services and EndpointSlices in a namespace decides where traffic to its exports goes,
// as in Kubernetes itself. Addresses that mean something else to this process than to everybody
// (loopback, link-local, multicast, unspecified) are left out all the same.
//
// # While the API server is away
//
// The Table keeps what was last seen, and Resolve goes on answering: losing a control plane must not
// cut traffic. A first list is read consistently, not from a cache that may lie behind, so that a
// restart does not bring back an export that has ended.
//
// # Locking
//
// One lock, Table.mu, guards all state. It is held for map work and metrics only: never while talking
// to the network, parsing, logging or calling onChange. The methods that feed a Table may be called
// from several goroutines, but calls about one kind of object from one at a time, in the order in
// which things happened. onChange is called by the goroutine that feeds, after the Table has changed,
// so two calls can overlap; it may call Resolve, and what it waits for keeps the Table waiting.
package exports
