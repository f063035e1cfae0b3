// Package installed finds what `mirror install` has put into a cluster, for upgrades and for removing it.
//
// It must never write, must never count an object as an installation's unless it carries its label, and
// reads no Secret but the one with the settings: of all others it asks for metadata.
//
// Nothing here is shared between goroutines.
package installed
