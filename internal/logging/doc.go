// Package logging gives a process its logger and the level that can be changed while it runs.
//
// It owns the flags of logging, the making of the logger, and the handler of /log-level. It must never
// set a logger of the whole process (that is up to whoever starts the process), nor keep one in a
// variable.
//
// # Locking
//
// The level itself is atomic and read on each log call. Level.mu guards the timer that takes a change
// back, and is held for nothing else. A Level may be used from any goroutine.
package logging
