// Package test renders the charts with Helm's own code and looks at what comes out. It is a module of its own, so
// that Helm's dependencies stay out of the product's.
//
// It must never ask a cluster: what a chart renders depends on its values alone.
package test
