// Command gatewaybench measures the gateway against HAProxy and against no gateway at all, and prints
// one table.
//
//	make bench-gateway
//	make bench-gateway ROUNDS=5 SECONDS=5 ONLY=connections,bytes
//	make bench-gateway ARGS='-o json'
//	make bench-gateway ONLY=bytes PROFILE=/tmp/profiles
//
// A client and a backend, each a process of its own, exchange streams
//
//	direct        by a plain TCP connection between the two
//	haproxy       through two processes of HAProxy, with mutual TLS 1.3 between them
//	lanes         through `gateway egress` and `gateway ingress` as they are
//	mux           the same, with the one lane that the egress is allowed taken by somebody else
//	linkerd-wire  the same, where the egress offers Linkerd's ALPN only: one TLS connection for each stream
//
// HAProxy has the same certificates, verifies both ways, and is tuned in nothing that a user would not
// tune. What the gateways read comes from a real API server: an exported Service whose cluster IP the
// backend listens on, and for each way a Link with status and a mirror with egress ports, written as
// the controller writes them. All of it runs in a network namespace of its own.
//
// The ways are measured in turn, round after round, so that whatever else the machine does meets all
// of them. Client, backend, API server and gateways share its processors, so ratios carry over to other
// machines and figures do not.
//
// The package owns what is measured and how it is printed. It must never judge by exit status: a missed
// goal is a line in the table, and status 1 means that something did not work. Every wait has a
// deadline. A bench, its world and what is measured belong to one goroutine.
package main
