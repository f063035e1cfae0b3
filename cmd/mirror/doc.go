// Command mirror is the controller (mirror controller) and the commands that go with it.
//
// It owns signals and the exit code, nothing else.
package main
