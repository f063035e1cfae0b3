// Command demo links two real clusters on this machine and tells what happens, step by step.
//
// It owns the story: its clusters, the stand-in workloads, the processes of the controller and of both
// halves of the gateway, and a folder with certificates, kubeconfigs and logs, all of which end with it.
// Everything that a user would do is done by the real commands, as processes. It must never print a claim
// that it has not checked.
//
// What a node would do is done by the demo: HTTP servers are the pods, a proxy at each ClusterIP of east
// is kube-proxy, and the client asks the endpoints of mirrors, which is where kube-proxy would send it.
// The rest of the way is real: egress, mutual TLS, ingress.
//
// The program runs in a network namespace (see test/rig); the API servers and the controller's
// metrics are reachable from outside it through listeners on 127.0.0.1.
//
// Locking. The steps run one after another on one goroutine. Only the measurement of a delay and the
// waits for the ends of processes run beside them, and they share nothing that is not handed over by a
// channel or a group.
package main
