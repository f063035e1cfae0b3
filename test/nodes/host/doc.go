// Package host runs what makes a node: containerd, kubelet and kube-proxy, in the node's network namespace.
//
// It owns their settings, the node's images, and its control groups. It must never touch what another containerd or
// kubelet on the machine owns: every path that they write to lies in the node's folder, or below /run, of which the rig has
// one of its own.
//
// The methods of a Node may be called by many goroutines; starting and ending a node's processes exclude each other.
package host
