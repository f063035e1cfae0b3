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
// Who reads a side is told when it is reset. While the other side takes nothing nobody reads, so Pipes ask such
// a side every few seconds whether it is gone, and then end both: else a receiver could, by doing nothing, keep a stream
// that nobody wants. One that is slow is left alone for as long as its sender is there. A sender that left
// after both had ended what they had to say has its last bytes delivered, to a receiver that takes any of
// them within five minutes.
//
// # Memory
//
// A direction that waits holds one small buffer. It takes a large one only while it has much to move.
// A large one stays with a direction that stops in the middle of a bulk transfer.
//
// # Concurrency
//
// Join uses one goroutine for each direction, its caller's being one, and returns when both have
// ended. Another goroutine ends a Join early by calling Abort on both streams: one alone would not wake a direction
// that waits for the other. Abort, Close and Gone may be called at any time and more than once; Read and Write are
// called by one goroutine each. All Joins of one Pipes share a timer, which runs while there are any.
package pipe
