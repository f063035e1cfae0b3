package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/test/certs"
)

// This file is the TLS side of the network in memory: gateways, and what clients trust.

const (
	gatewayName = "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
	clientName  = "mirror.linkspan.serviceaccount.identity.linkerd.cluster.local"
)

// mesh is two clusters under one anchor.
type mesh struct {
	pki            certs.PKI
	anchor         *certs.Authority
	source, target *certs.Authority
}

func newMesh(t *testing.T) mesh {
	t.Helper()
	return meshOf(certs.For(t))
}

func meshOf(pki certs.PKI) mesh {
	anchor := pki.Anchor("root")
	return mesh{pki: pki, anchor: anchor, source: pki.Issuer(anchor, "west"), target: pki.Issuer(anchor, "east")}
}

// gateway is the configuration of a gateway that a probe succeeds with.
func (m mesh) gateway(options ...certs.Option) *tls.Config {
	return m.gatewayWith(m.pki.Leaf(m.target, gatewayName, options...))
}

func (m mesh) gatewayWith(leaf *certs.Leaf) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{leaf.TLS()},
		ClientCAs:    certs.Pool(m.anchor),
		ClientAuth:   tls.RequireAndVerifyClientCert,
		NextProtos:   []string{"transport.l5d.io/v1"},
		MinVersion:   tls.VersionTLS13,
	}
}

// client is what the process that probes is configured with. It would resume sessions if it could.
func (m mesh) client(options ...certs.Option) *tls.Config {
	return &tls.Config{
		Certificates:       []tls.Certificate{m.pki.Leaf(m.source, clientName, options...).TLS()},
		RootCAs:            certs.Pool(m.anchor),
		ClientSessionCache: tls.NewLRUClientSessionCache(8),
		MinVersion:         tls.VersionTLS13,
	}
}

// configs gives the same configuration for each server.
func configs(config *tls.Config) Option {
	return WithTLS(func(string) (*tls.Config, error) { return config, nil })
}

// tlsLink is testLink with an identity.
func tlsLink(addresses ...string) link.Link {
	return changedLink(testLink(addresses...), func(gw *link.Gateway) { gw.Identity = gatewayName })
}

func checkHandshake(config *tls.Config) *handshake {
	return &handshake{address: netip.MustParseAddrPort("192.0.2.1:4143"), identity: gatewayName, config: config}
}

// visit is what a gateway saw of one connection.
type visit struct {
	state tls.ConnectionState
	// handshake and header are how these two ended.
	handshake, header error
}

// visits are what a gateway saw.
type visits struct {
	mu   sync.Mutex
	seen []visit
}

func (v *visits) add(seen visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen = append(v.seen, seen)
}

func (v *visits) all() []visit {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.seen
}

// takesTraffic is a gateway's port for traffic. The handshake is followed by the wait for a header.
func takesTraffic(config *tls.Config, seen *visits) behaviour {
	return shakes(config, func(conn *tls.Conn, err error) {
		v := visit{state: conn.ConnectionState(), handshake: err}
		if err == nil {
			_, v.header = io.ReadFull(conn, make([]byte, len("transport.l5d.io/v1\r\n\r\n")))
		}
		seen.add(v)
	})
}

// shakes is a TLS server that goes on with then after its handshake.
func shakes(config *tls.Config, then func(*tls.Conn, error)) behaviour {
	return serves(func(far net.Conn) {
		conn := buffered(far)
		server := tls.Server(conn, config)
		err := server.HandshakeContext(context.Background())
		then(server, err)
		if err != nil {
			// A kernel takes what still comes, while the alert is on its way.
			_, _ = io.Copy(io.Discard, far)
		}
		_ = server.Close()
	})
}

// bufferedConn has room for what is written, as a socket has. Without it, two sides that write at the
// same time would wait for each other.
type bufferedConn struct {
	net.Conn
	out    chan []byte
	done   chan struct{}
	finish func()
}

func buffered(conn net.Conn) net.Conn {
	b := &bufferedConn{Conn: conn, out: make(chan []byte, 64), done: make(chan struct{})}
	b.finish = sync.OnceFunc(func() {
		close(b.out)
		<-b.done
	})
	go func() {
		defer close(b.done)
		for data := range b.out {
			_, _ = b.Conn.Write(data) // fails for all once the other side has gone
		}
	}()
	return b
}

func (b *bufferedConn) Write(data []byte) (int, error) {
	select {
	case b.out <- append([]byte(nil), data...):
		return len(data), nil
	default:
		return 0, errors.New("the buffer is full")
	}
}

// SetWriteDeadline does nothing, because writes never wait. tls.Conn ends its own with one in the past,
// which would throw away what is in the buffer.
func (b *bufferedConn) SetWriteDeadline(time.Time) error { return nil }

func (b *bufferedConn) Close() error {
	b.finish()
	return b.Conn.Close()
}
