// Package manifests holds the sample application's objects, as files that kubectl takes.
//
// It owns which part runs where: web, the meter and a place for commands in the cluster west, emoji and voting in east,
// servers of other protocols in a file of their own. No Service is exported here: that is what scenarios do.
package manifests
