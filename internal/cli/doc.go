// Package cli is the command line: one file per command, each an options struct that binds and
// validates itself and a run function that takes its context, streams and options.
//
// It owns flags, what is printed where, and exit codes: results go to standard output, everything
// else to standard error, and a command that fails prints nothing on standard output (`check` apart,
// whose report is its result). Commands print
// manifests and must never change a cluster (LINK-9; `controller` apart), and must never print a
// token, key or kubeconfig except inside the Secrets that `link` makes (LINK-13), and where `install` and
// `upgrade` print what the values say that they were given.
//
// Nothing here is shared between goroutines.
package cli
