package ingress

import (
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// A stranger is a client that the gateway's own list does not let in. Its handshake is made all the same, so that
// what it asks for can be told. Strangers have a small share of the connections, and keep none: only who
// could call something may wait.

const (
	// strangersPart is which part of all connections strangers may have, together.
	strangersPart = 16
	// partingTime is how long a stranger has to take the denial before its connection is cut.
	partingTime = time.Second
)

// listed says whether the gateway's own list lets a client in, or is only being tried.
func (s *Server) listed(client string) bool { return s.options.DryRun || s.policy.Allows(client) }

// enter takes the places of a connection, which leave gives back if it is admitted.
func (c *connection) enter() verdict {
	s := c.server
	c.stranger = !s.listed(c.client)
	if c.stranger && s.strangers.take(c.client) != admitted {
		return strangersFull
	}
	v := s.connLimits.take(c.client)
	if v != admitted && c.stranger {
		s.strangers.leave(c.client)
	}
	return v
}

func (c *connection) leave() {
	c.server.connLimits.leave(c.client)
	if c.stranger {
		c.server.strangers.leave(c.client)
	}
}

// checkListed ends the connection of a client that would be a stranger now, once it had time to learn why. It does
// not wait.
func (c *connection) checkListed() {
	mayAsk := c.stranger && !c.used.Load() // once, and within the header's time
	if mayAsk || c.server.listed(c.client) {
		return
	}
	c.parting.Do(func() {
		c.retire()
		time.AfterFunc(partingTime, func() {
			if !c.server.listed(c.client) { // a list may be put back at once
				c.cut(&cutError{stream.ReasonClientNotAllowed}) // of no effect once it has ended
			}
		})
	})
}

// partUnlisted ends the connections of clients that have become strangers, and asks those that no longer are to come
// again: their connections have a stranger's place, and little time to be idle.
func (s *Server) partUnlisted() {
	for _, c := range s.connections() {
		c.checkListed()
		if c.stranger && s.listed(c.client) {
			c.retire()
		}
	}
}
