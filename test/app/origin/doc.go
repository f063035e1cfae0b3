// Package origin is how the sample application says who answered a request, and why nobody did.
//
// It owns the names of the headers and the words for kinds of failures: both are read by the traffic meter and by
// scenarios, so they must never change with a message of Go's. It talks to nobody and keeps nothing: any goroutine may
// call it.
package origin
