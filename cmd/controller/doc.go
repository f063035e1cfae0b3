// Command controller is the program of the image mirror, where it is called mirror too: the controller, and all commands that need
// no charts. Without them the linker can leave out 20 MiB, which every replica would map.
//
// It owns signals and the exit code, nothing else.
package main
