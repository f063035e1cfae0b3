// Package load is the two ends of the streams that the gateway's benchmark measures: a backend that
// answers, and a client that asks, counts and takes times.
//
// It owns the little protocol between the two, and the accuracy of what is measured: windows begin and
// end where the counters are read, the processor time of other processes is read at the same moments,
// and a latency counts from the moment at which the request was due, so that waiting for a slow
// answer before it is not left out. It must never know what is between the two ends.
//
// # Protocol
//
// A client sends requestSize bytes, of which the first says what it wants:
//
//	r   answerSize bytes and the end of the stream
//	b   bytes without end
//	u   nothing: the backend takes what comes
//	e   every answerSize bytes sent back
//	i   one byte, and then nothing until the client goes away
//
// # Goroutines
//
// Backend.Serve and Client.Do wait for all goroutines that they start. A Client belongs to one
// goroutine.
package load
