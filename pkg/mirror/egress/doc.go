// Package egress knows the pods of our own egress in the local cluster, from the EndpointSlices of its
// Service.
//
// It owns what of a slice matters to a mirror, and whether that changed. It must never write, and never
// watch more than the slices that it is given a cache for. Everything is read from that cache each time
// it is asked for, so it holds no state but what it told of last, behind one mutex; nothing is called
// while that is held.
package egress
