// Package kubebin finds, or builds, the Kubernetes and etcd programs that the rig runs.
//
// It owns the cache folder and the pinned tool modules in hack/kube. It must never download a
// finished binary, and never touch go.mod or go.sum. Ensure may be called by many processes at
// once: a lock file lets one of them build while the others wait, and a build becomes visible by
// one rename, so a cache folder that exists is whole.
package kubebin
