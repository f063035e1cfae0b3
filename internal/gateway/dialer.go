package gateway

import (
	"net"
	"time"
)

// egressDialer makes connections whose local ports can be listened on all the same. The kernel takes local
// ports from a range that overlaps with the ports that mirrors have, and a port that an outgoing
// connection holds, or has just held, could else not be opened for a mirror (EADDRINUSE).
func egressDialer() *net.Dialer {
	const idle, interval, count = 5 * time.Second, 5 * time.Second, 3
	return &net.Dialer{
		Control:         reuseAddress,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: idle, Interval: interval, Count: count},
	}
}
