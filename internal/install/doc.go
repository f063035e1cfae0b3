// Package install says what an installation consists of besides the charts: its settings, which are remembered in a Secret, its
// kinds of objects, and the order in which they can be applied. Package render renders the charts. See
// docs/design/0003-install-by-command.md.
//
// What it says depends on the settings, the namespace and the program's version alone. The package must never ask a cluster
// (INST-16), never say that Helm owns what Helm did not install, and never import what renders: the controller's program has it too.
//
// Nothing here is shared between goroutines.
package install
