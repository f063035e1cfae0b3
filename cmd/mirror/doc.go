// Command mirror is the program for people: all commands, and the controller (mirror controller) for those who run it outside of
// a cluster.
//
// It owns signals and the exit code, nothing else.
package main
