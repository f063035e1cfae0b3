// Package network is the network between nodes: namespaces, a segment for each cluster, and the routes between them.
//
// It owns the addresses of everything that has one, and what is up, down and cut. It must only be used in a network
// namespace that is thrown away (rig.Isolate), because it changes routes and settings of the namespace that it is in.
//
// Each cluster is a segment: a bridge in the namespace of the whole, to which the nodes are plugged, each with a
// namespace of its own. The namespace of the whole routes between segments and to API servers, as a data
// centre's router would: pods of all clusters reach each other by their own addresses.
//
// A Namespace may be used by many goroutines; what it does is done one after the other. The methods of a Segment must
// not be called at the same time for the same node.
package network
