// Package vote is the sample application: a front, web, and two backends, emoji and voting, that may be in another
// cluster.
//
// It owns what is counted and how. A vote has an ID, and is counted once however often it comes; how often it came is
// kept beside it, so that lost and doubled votes can be told from end to end. The instances of voting share what they
// know: a vote is handed to the others before it is acknowledged, and each asks the others every second for what it has
// missed, so that no vote is lost with one instance. Web must never repeat a vote: who counts failures wants
// to see them. (A look-up of an emoji is repeated by net/http, where a connection that was kept has ended under it.)
//
// A Box has a lock of its own, and Peers another; neither is held while talking to anybody.
package vote
