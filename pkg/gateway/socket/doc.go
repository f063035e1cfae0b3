// Package socket asks the kernel what it knows of a TCP connection that Go does not tell.
//
// It owns the rule of when another end that leaves what we sent unanswered counts as gone. It must never read, write or
// end a connection: that is for its owner. Where the system says nothing, ok is false and TCP's own patience decides.
//
// The functions are for any goroutine; a Silence is for one at a time.
package socket
