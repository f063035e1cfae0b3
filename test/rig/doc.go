// Package rig runs real API servers as processes, for tests, the demo and the benchmarks.
//
// It owns the processes it starts (etcd, kube-apiserver, kube-controller-manager), their folders,
// and the network namespace they live in. It must never import the product's controllers, reach a
// cluster it did not start, or leave a process behind: children die with the process that started
// them, whatever ends it.
//
// In a test package:
//
//	func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }
//
//	func TestIt(t *testing.T) {
//		west, east := rig.Shared(t, 2)[0], rig.Shared(t, 2)[1] // or rig.New(t, …) to break things
//		ns := west.Namespace(t)
//		rig.Create(t, west, rig.Service(ns, "web", rig.Exported("true")))
//		rig.ExpectService(t, east, ns, "web-west")
//	}
//
// In another program, call Isolate first thing in main, then Start.
//
// Addresses. Everything runs in a network namespace of its own, in which 203.0.113.0/24,
// 198.51.100.0/24 and 2001:db8::1 to ::ff are local, because API servers refuse loopback addresses
// in EndpointSlices; 192.0.2.0/24 swallows every packet. No API server is reachable from outside it
// except through listeners handed in by Isolate.
//
// Waiting. Nothing sleeps: the Expect… functions watch and check again after every event, up to a
// deadline, and print the last state seen.
//
// Tokens. kube-apiserver remembers a token that it accepted for 10 s, which cannot be changed, and
// reads its token file at start only. See Cluster.RevokeToken.
//
// Locking. A Cluster, Proxy, Gateway and History may be used by many goroutines. No lock is held
// while waiting for a process or the network, except that Start, Stop and Kill of one cluster
// exclude each other.
package rig
