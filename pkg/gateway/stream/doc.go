// Package stream says what became of each stream that passes a gateway, on either side: in the access
// log, in the log and in metrics. A stream is what one client sends to one Service, whatever connection
// carries it.
//
// It owns the words for results and reasons, the access log's formats, and the metrics that both sides
// have in common. It must never open, read, write or close a connection, decide anything about a
// stream, or make a client's own words the label of a metric.
//
// # What is told where
//
//   - Every stream is counted, by result and reason. A reason that is not one of Reasons counts as
//     "other", so that no caller can make more series than there are words.
//   - What was denied, refused or failed is told in the log too, at most a few lines a second for each
//     of the three; how many were left out is told as well (POL-12, LOG-4).
//   - The access log has one line for each stream, at its end. It is off by default (LOG-6).
//
// # The access log
//
// Lines are gathered in memory and written by Start, at least once a second, so that no stream waits
// for the log. When the writer stalls, at most about a mebibyte is gathered; what comes after that is
// dropped, and counted. Text of others is cut to a bounded length and its unprintable characters
// become question marks. Its formats are described in docs/gateway-access-log.md.
//
// # Bytes
//
// Closed adds what a stream carried to the counters of bytes. For a stream that lasts, that comes late:
// a caller may give bytes to Recorder.Bytes as they pass, and says in Record.SentCounted and
// Record.ReceivedCounted how many of them it has given, which Closed then leaves out.
//
// # Locking
//
// A Recorder may be used by any goroutine. journal.writing is held while lines are written, so that they
// stay in order, and only the journal takes it; journal.mu, taken after it, guards the lines gathered and
// is held while one is added, never while writing. Each limiter has a lock of its own, held for nothing
// but counting. Start owns one goroutine, the caller's own.
package stream
