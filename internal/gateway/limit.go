package gateway

import (
	"net"
	"slices"
	"sync"
)

// limited accepts connections, and closes the oldest one for each beyond most. Whoever holds connections open keeps no
// probe out, which is new and soon over; who is closed for it may come again.
func limited(l net.Listener, most int) net.Listener {
	return &limitedListener{Listener: l, most: most}
}

type limitedListener struct {
	net.Listener
	most int

	mu   sync.Mutex
	open []*limitedConn // the oldest first; there are not many
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn := &limitedConn{Conn: raw, listener: l}
	if oldest := l.enter(conn); oldest != nil {
		_ = oldest.Close() // its request, if it has one, fails; that is meant
	}
	return conn, nil
}

// enter lists a connection and gives the one that must go for it, nil for none.
func (l *limitedListener) enter(conn *limitedConn) *limitedConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = append(l.open, conn)
	if len(l.open) <= l.most {
		return nil
	}
	return l.open[0]
}

func (l *limitedListener) leave(conn *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := slices.Index(l.open, conn); at >= 0 {
		l.open = slices.Delete(l.open, at, at+1)
	}
}

// limitedConn leaves the list when it is closed.
type limitedConn struct {
	net.Conn
	listener *limitedListener
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	c.listener.leave(c)
	return c.Conn.Close()
}
