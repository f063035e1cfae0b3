// Package pipe moves the bytes of one stream between two connections, both ways.
//
// It owns the copying: buffers, half-close, what an end and what an abort is, and the count of bytes.
// It must never look into the bytes, hold them back to make more of them, or wait for one direction
// before it serves the other: any side may speak first, and either may end its direction early.
//
// # Ends
//
// The end of one direction is passed on as an end, and the other direction goes on. Anything else that
// stops a direction, such as a reset or a lost connection, is passed on as an abort of both: a
// receiver can then tell a stream that is complete from one that was cut. A TCP connection that was reset can look
// ended to its reader on Linux, when a writer has been told of the reset before; TCP looks closer.
//
// # Memory
//
// A direction that waits holds one small buffer. It takes a large one only while it has much to move.
// A large one stays with a direction that stops in the middle of a bulk transfer.
//
// # Concurrency
//
// Join uses one goroutine for each direction, its caller's being one, and returns when both have
// ended. Another goroutine ends a Join early by calling Abort on both streams. Abort and Close may be called
// at any time and more than once; Read and Write are called by one goroutine each.
package pipe
