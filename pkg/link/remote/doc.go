// Package remote owns the state of being linked: which Links there are, whether their credentials
// can be used, and the one connection to each target's API server.
//
// The parts, in the order in which a Link passes them:
//
//	Controller   reconciles Link objects: parse, credentials, then hands a Target to Connections
//	Links        what is currently wanted of each Link, as values; read by the mirror controller
//	Connections  the only owner of connections; one session, one goroutine, per Link
//	Connection   one synced set of watches on one target, built as a value and never repaired:
//	             a lost one is thrown away and another is built
//	StatusWriter turns all that, and what mirror and probe report, into the Link's status
//
// What a target says of a service is Present, Absent or Unknown. A Link without a synced connection
// is Unknown; so is everything while a connection is lost. Nothing in this package deletes anything.
//
// A target can send anything, of any size. Names that no API server would accept are dropped where
// they come in (Connection), and texts are cut where they are shown (classify, status).
//
// Locking: each struct has one mutex over its own fields. No lock is held while talking to a network
// or while calling a callback. The only locks taken under another are a session's under that of
// Connections, and that of the manual slices under a Connection's; never the other way round. A
// session's goroutine is the only one that builds, swaps or stops its connections, so a new one is
// always synced before the old one stops, and a connection is stopped exactly once.
//
// It must never import mirror or probe: they see it through values and callbacks.
//
// It is larger than the 1,500 lines that a package should have: one connection's life (session,
// connection, feeds, health) and what is said of it (status, its writer) share unexported state that a
// boundary between them would have to publish.
package remote
