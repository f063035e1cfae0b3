// Package image makes container images of Go programs: one static binary and nothing else, for each platform, as an OCI
// archive that containerd, Docker, podman and registries' tools take. No daemon is needed.
//
// It owns what such an image looks like. It must never put anything into one that differs between two builds of the
// same source: no time but the one it is given, no owner, no path of this machine, no order of a map. It must never
// talk to a registry.
//
// Build and Write may be called by several goroutines, for different files.
package image
