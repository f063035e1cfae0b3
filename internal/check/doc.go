// Package check judges an installation of Linkspan. A check is a value: what it is about, where its hint
// is, what must be well before it is worth asking, and a function from facts to findings.
//
// It owns the list of checks, their order and what they say. It must never print, never ask a cluster or
// a clock, and never be given a secret: package observe finds the facts out and leaves tokens and keys
// behind (LINK-13, CHK-10). What only the controller can see is taken from the status of its Links
// (CHK-8), so that `mirror check` and `kubectl get links` never disagree.
//
// Every check has a section of its own in docs/checks.md, headed by its ID; a test compares both ways
// (CHK-2). Everything here is a value and may be used by many goroutines.
package check
