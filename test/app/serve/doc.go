// Package serve is the life of each server of the sample application: listening, being ready, ending.
//
// It owns the order in which a server ends. Told to end, it is no longer ready, goes on serving for the time of --drain so
// that whoever follows its endpoints can go elsewhere, and only then stops listening and waits for what is open. Idle HTTP
// connections are not closed under their clients' hands: each answer in that time asks its client to close. It must never
// end earlier because nobody seems to be there.
//
// A call of HTTP, TCP or UDP lasts as long as the server, and returns when everything that it started has ended.
package serve
