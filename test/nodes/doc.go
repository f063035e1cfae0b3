// Package nodes runs whole Kubernetes clusters on one machine, without Docker: control planes of test/rig, and nodes
// with containerd, kubelet and kube-proxy that run real pods of images that were never in a registry.
//
// It owns everything below a Fleet: networks, processes, control groups, addresses of load balancers, DNS. It must
// never change anything of the machine that outlives it. Everything runs in namespaces of networks, mounts and processes
// of its own, so that the kernel cleans up after whatever ends the program. All folders and control groups, temporary files
// of other packages among them, lie in one of the program's, which is removed after its end, or by the next program if both
// were killed. LINKSPAN_RIG_KEEP=1 leaves it in place, to read the logs. It needs Linux and root: see Missing.
//
// In a test package:
//
//	func TestMain(m *testing.M) { os.Exit(nodes.Main(m)) }
//
//	func TestIt(t *testing.T) {
//		nodes.Need(t)
//		fleet, err := nodes.Start(t.Context(), nodes.Options{Clusters: …, Images: …})
//
// In another program, call Isolate first thing in main, then Start.
//
// The methods of a Fleet, Cluster and Node may be called by many goroutines, but two faults of one node or cluster must
// not be switched at the same time. Fleet.Close comes last.
package nodes
