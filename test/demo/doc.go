// Command demo links two real clusters on this machine and tells what happens, step by step.
//
// It owns the story: its clusters, the stand-in gateway and workloads, the controller's process, and
// a folder with kubeconfigs and logs, all of which end with it. Everything that a user would do is
// done by the real commands, as processes. It must never print a claim that it has not checked.
//
// The program runs in a network namespace (see test/rig); the API servers and the controller's
// metrics are reachable from outside it through listeners on 127.0.0.1.
//
// Locking. The steps run one after another on one goroutine. Only the measurement of a delay and the
// wait for the controller's end run beside them, and they share nothing that is not handed over by a
// channel or a group.
package main
