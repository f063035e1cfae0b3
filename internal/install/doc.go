// Package install computes what an installation consists of: it renders the charts inside the program
// with Helm's own code, as `helm template` would, puts the objects into an order in which they can be
// applied, and remembers the settings in a Secret among them. See docs/design/0003-install-by-command.md.
//
// What is rendered depends on the settings, the namespace and the program's version alone. The package
// must never ask a cluster (INST-16), and never say that Helm owns what Helm did not install.
//
// Nothing here is shared between goroutines.
package install
