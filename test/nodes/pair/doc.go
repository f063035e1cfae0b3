// Package pair is two clusters with real nodes, west and east, and what a user has beside them: mirror, helm and kubectl
// on the path, a kubeconfig with a context for each cluster, and images of ours that the nodes already have.
//
// It owns a folder for all of that. It must never install anything into the clusters: that is what users do, and the
// scenarios and the demo after them.
//
// Prepare and Isolate come first in main, or in TestMain. A Pair may be used by many goroutines; Close comes last.
package pair
