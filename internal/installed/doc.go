// Package installed finds what `mirror install` has put into a cluster, for upgrades and for removing it,
// and what others have put beside it.
//
// It must never write, and reads no Secret but the one with the settings: of all others it asks for metadata.
// It must never count an object as an installation's by one label: see Owned.
//
// Nothing here is shared between goroutines.
package installed
