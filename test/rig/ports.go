package rig

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below the range that the kernel gives to outgoing connections, so that no
// connection can take the port of a server that is stopped for a while.
const (
	firstPort = 20000
	lastPort  = 32000
	portTries = 200
)

// freePorts finds n ports that nobody listens on.
func freePorts(n int) (ports []int, err error) {
	for range portTries {
		if len(ports) == n {
			break
		}
		port := firstPort + rand.IntN(lastPort-firstPort)
		listener, listenErr := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(port)))
		if listenErr != nil {
			continue
		}
		// Held until all are found, so that no port is found twice.
		defer func() { err = errors.Join(err, listener.Close()) }()
		ports = append(ports, port)
	}
	if len(ports) < n {
		return nil, fmt.Errorf("found %d free ports from %d to %d, need %d", len(ports), firstPort, lastPort, n)
	}
	return ports, nil
}
