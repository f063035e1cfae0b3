// Package render renders the charts inside the program with Helm's own code, as `helm template` would, for commands that print
// installations. See docs/design/0003-install-by-command.md.
//
// What is rendered depends on the settings, the namespace and the program's version alone. The package must never ask a cluster
// (INST-16). Only the main of a program for people may import it: text/template has the linker keep every exported method of
// every dependency, 20 MiB that a controller would carry for nothing.
//
// Nothing here is shared between goroutines.
package render
