// Package v1alpha3 holds the API that Linkspan reads and writes: the Link resource of group
// multicluster.linkerd.io, and (in labels.go and reasons.go) every label, annotation, finalizer,
// condition and reason that appears on any object.
//
// It owns names and shapes only: no behaviour, no parsing (see pkg/link), no clients. A string that
// crosses a process boundary is declared here or nowhere.
//
// The spec is Linkerd's, field for field, because users' manifests, Linkerd's own CLI and its
// control plane depend on it; Linkspan adds optional fields to the status only.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=multicluster.linkerd.io
package v1alpha3
