// Package link says what a Link is: values, made by parsing and validating API objects once, at the
// edge. Everything behind the edge works with these values and never parses a string of a spec again.
//
// It owns the meaning of a Link's fields, of a credentials kubeconfig, and of the names and filters
// that follow from a Link. It must never talk to a network, read a clock or a file, or import
// another package of ours but api. Values are safe to share between goroutines: nothing here is
// changed after it is made.
package link
