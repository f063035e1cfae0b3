// Package plan decides, and does nothing else: from what is known of one exported service it
// computes what must be written and deleted in the local cluster.
//
// It owns what a mirror looks like and when it may be changed or deleted. It must never hold a
// client, clock, logger or metric, and never change its input. The same input gives the same plan,
// and applying a plan and computing again gives an empty one after at most four rounds. It keeps no
// state, so it has no locks: Compute may run in any number of goroutines.
//
// # What a mirror takes over from the remote Service
//
//   - Of each port: name, protocol, number and appProtocol.
//   - sessionAffinity ClientIP with its timeout.
//   - trafficDistribution PreferClose and PreferSameZone, pod to pod only: through a gateway there
//     are no zones to prefer.
//   - Labels and annotations, except those that the Link excludes, those that Copied keeps back, and
//     those beyond MaxLabels, MaxAnnotationValue and MaxAnnotations.
//
// Never taken over: the selector (a mirror has none), type (always ClusterIP), IP families (always
// PreferDualStack, which every cluster accepts), target ports and node ports (the slices say where
// traffic goes), traffic policies and load-balancer settings (they speak of the target's nodes), and
// publishNotReadyAddresses (the remote slices already say who is ready).
//
// # How changes are told apart
//
// A mirror and each of its slices carry a hash of what was last applied. An object is applied again
// when that differs, which finds what is to be removed, or when something applied is missing or
// different, which finds what others changed. What others added is not looked at and so survives.
// The two atomic lists of a slice, ports and endpoints, are compared exactly.
//
// # Three kinds of slices
//
// Pod to pod they list the remote pods (<mirror>-<digest>). In gateway mode they list the addresses of the
// target's gateway (<mirror>-gateway-…), where clients have a Linkerd proxy that dials it; or the pods of our
// own egress in this cluster (<mirror>-egress-…), which dial it for clients that have none. The egress tells
// mirrors apart by the port that a client connects to, so each port of such a mirror has a port there of its
// own, in the annotation linkspan.io/egress-ports. Which port is not decided here: see EgressPortsNeeded.
//
// # Order
//
// Slices of a new kind are in place, and judged by the probe where there is one, before those of the
// old kind go; Linkerd's Endpoints go by the same rule when a mirror is adopted. So a mirror that had
// ready endpoints keeps some throughout. The annotation of the egress comes before the slices that lead to
// it, and goes after them.
//
// The package is larger than the 1,500 lines that one should have: all of it is one computation.
package plan
