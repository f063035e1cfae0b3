// Package traffic sends votes at a steady rate and measures what becomes of them.
//
// It owns what a failure, an outage and a switch of clusters are: Compute is a pure function of what was recorded, and
// has no clock. The rate is an open loop: a vote is sent when it is due, however many are still unanswered, so that an
// outage cannot slow the meter down and hide itself. It must never send a vote twice: what fails is a failure.
//
// A Meter has a lock, which is not held while computing or talking to anybody. Any goroutine may call it.
package traffic
