// Package process starts and ends child processes.
//
// It owns what every child of the rig has in common: a log file, a process group of its own, and that the kernel
// kills it when this process ends. It must never leave a child behind, and knows nothing of what the child does.
//
// The methods of a Process may be called by many goroutines. Start inherits the namespaces of the calling thread.
package process
