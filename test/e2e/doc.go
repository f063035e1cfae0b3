// Package e2e plays the gateway's scenarios from end to end, each named by a sentence of a user's: the real
// programs, built with the race detector, run as processes against real API servers.
//
// It owns the processes, their certificates and the stand-ins for what nodes do: an application listens at
// its Service's ClusterIP, a client follows the mirror's EndpointSlices as kube-proxy would, and the
// EndpointSlice of the egress is kept by hand. Everything between client and application is the
// product. It must never look into a process but through what users have: its ports, logs, metrics and
// API objects.
//
// Every scenario has a world of its own: namespaces, accounts with the documented permissions and no more,
// a controller, halves of the gateway at addresses of their own. The two control planes are shared. So
// scenarios run side by side, and most of the time they wait.
//
// What was asserted is counted: requests that failed must be none, or exactly those named. A stream that is
// cut must end with a reset; a clean end with bytes missing fails the test. A test that fails shows the ends of
// all logs of its world. A process that reports a data race, panics, or ends by itself fails it too.
//
// Locking. A world belongs to the goroutine of its test. What runs beside it (an application, a load, a
// long stream) has a lock of its own and is waited for before the test ends.
package e2e
