// Package figures is what the programs share that measure (make bench, make bench-gateway): how they get at the built
// program and into a network namespace, options from the environment, medians and percentiles, the table.
//
// It must never measure anything itself, nor know what is measured. Nothing in it is for several goroutines at a time, but
// for Progress.
package figures
