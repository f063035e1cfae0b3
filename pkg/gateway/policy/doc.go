// Package policy keeps the gateway's own allow-list: who may call anything that is exported.
//
// It owns the list's two sources, entries from options and a file that is followed, and the rule of what
// counts while the file cannot be used: the list in force stays, the log and a metric tell. Without either source
// any identity under the trust anchors is let in, which is told once at the start. What an entry means is a matter of
// package clients. It must never decide about a Service's own list, or end a stream: it tells of a change.
//
// Load comes first and once, then Run in one goroutine; Allows is for all goroutines and takes no lock.
package policy
