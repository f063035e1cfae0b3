// Package controller puts the parts together into the process that `mirror controller` runs: caches,
// link controller, connections, probes, the pods of our egress, mirror controller, status, metrics, leader election.
//
// It owns what is wired to what and in which order things start, and nothing else: every decision is
// in the packages that it wires. It must never be imported by them.
package controller
