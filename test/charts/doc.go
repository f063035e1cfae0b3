// Package charts asks real API servers whether they would take what the charts render, as recorded in the golden files of
// charts/test. Rendering needs Helm's code, which is a module of its own; this package needs the rig.
//
// It must never render anything.
package charts
